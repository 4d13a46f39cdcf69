// y = weight[input]: rows of a table looked up by index. The gradient adds up, in row-major order,
// the gradients of all places that looked up a row.
#pragma once

#include "ops/gather_impl.h"
