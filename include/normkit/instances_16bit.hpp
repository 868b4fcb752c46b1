#pragma once

#include <normkit/detail/plan/run.hpp>

// As instances.hpp, for tensors of Eigen::half and Eigen::bfloat16. A header of its own, as who does not use these need not
// compile them.
#define NORMKIT_INSTANCE template
#define NORMKIT_S Half
#include <normkit/detail/plan/instances.inl.hpp>
#define NORMKIT_INSTANCE template
#define NORMKIT_S BFloat16
#include <normkit/detail/plan/instances.inl.hpp>
