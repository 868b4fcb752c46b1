#pragma once

#include <normkit/detail/plan/run.hpp>

// For large programs that want to compile the kernels once: define NORMKIT_EXTERN_TEMPLATES where layers are used, and
// include this header in one source file. Without it everything is inline, as always.
#define NORMKIT_INSTANCE template
#define NORMKIT_T float
#include <normkit/detail/plan/instances.inl.hpp>
#define NORMKIT_INSTANCE template
#define NORMKIT_T double
#include <normkit/detail/plan/instances.inl.hpp>
