#pragma once

/// normkit: normalization layers over Eigen::Tensor.
#include <normkit/batch_norm.hpp>
#include <normkit/conventions.hpp>
#include <normkit/core.hpp>
#include <normkit/detail/simd/isa.hpp>
#include <normkit/diagnostics.hpp>
#include <normkit/error.hpp>
#include <normkit/fold.hpp>
#include <normkit/group_norm.hpp>
#include <normkit/instance_norm.hpp>
#include <normkit/layer_norm.hpp>
#include <normkit/moments.hpp>
#include <normkit/rms_norm.hpp>
#include <normkit/version.hpp>
