#include "ops/recurrent_impl.h"

namespace ranvier::RV_ISA::recurrent {

template struct GatePanels<float>;
template struct GatePanels<double>;
template struct ColumnPanels<float>;
template struct ColumnPanels<double>;

}  // namespace ranvier::RV_ISA::recurrent
