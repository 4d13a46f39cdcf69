// y = x[indices]: reading by integer arrays, and writing or adding to the same places.
#pragma once

#include "ops/gather_impl.h"
