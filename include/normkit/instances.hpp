#pragma once

#include <normkit/detail/plan/run.hpp>

// For large programs that want to compile the kernels once: define NORMKIT_EXTERN_TEMPLATES where layers are used, and
// include this header in one source file; instances_16bit.hpp too, where tensors are of 16 bits. Without it everything is
// inline, as always.
#define NORMKIT_INSTANCE template
#define NORMKIT_S float
#include <normkit/detail/plan/instances.inl.hpp>
#define NORMKIT_INSTANCE template
#define NORMKIT_S double
#include <normkit/detail/plan/instances.inl.hpp>
