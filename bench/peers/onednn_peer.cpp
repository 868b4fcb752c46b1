// oneDNN: its batch and layer normalization primitives, float only. In the layout of the row, and (`blocked`) with the
// channels in blocks of 16 as its convolutions like them best. Primitives and arguments are made beforehand.
#include <dnnl.hpp>
#include <unordered_map>

#include "peer.hpp"

#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP
#include <omp.h>
#endif

namespace peers {
namespace {

using dnnl::memory, dnnl::prop_kind, dnnl::engine;
using Flags = dnnl::normalization_flags;

#if DNNL_VERSION_MAJOR >= 3
constexpr bool can_add = true;
constexpr auto fuse_add_relu = Flags::fuse_norm_add_relu;
template <class Forward>
typename Forward::primitive_desc forward_of(const engine& e, prop_kind kind, const memory::desc& layout, Flags flags) {
  return {e, kind, layout, layout, static_cast<float>(eps), flags};
}
template <class Backward, class Hint>
typename Backward::primitive_desc backward_of(const engine& e, const memory::desc& layout, Flags flags,
                                              const Hint& hint) {
  return {e, prop_kind::backward, layout, layout, layout, static_cast<float>(eps), flags, hint};
}
#else
constexpr bool can_add = false;
constexpr auto fuse_add_relu = Flags::none;
template <class Forward>
typename Forward::primitive_desc forward_of(const engine& e, prop_kind kind, const memory::desc& layout, Flags flags) {
  return {{kind, layout, static_cast<float>(eps), flags}, e};
}
template <class Backward, class Hint>
typename Backward::primitive_desc backward_of(const engine& e, const memory::desc& layout, Flags flags,
                                              const Hint& hint) {
  return {{prop_kind::backward, layout, layout, static_cast<float>(eps), flags}, e, hint};
}
#endif

class OneDnn : public PeerOf<OneDnn> {
 public:
  explicit OneDnn(bool blocked) : blocked_(blocked) {}

  std::string name() const override { return blocked_ ? "oneDNN, blocked" : "oneDNN"; }
  std::string version() const override {
    const dnnl::version_t* const v = dnnl::version();
    return std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch);
  }
  void use_threads([[maybe_unused]] int threads) override {
#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP
    omp_set_num_threads(threads);
#endif
  }

  Call make(const Row&, Pass, Buffers<double>&) { return {}; }  // it has no double
  Call make(const Row& row, Pass pass, Buffers<float>& b) {
    if (row.norm == Norm::group) return group_norm(row, pass, b);
    if (row.norm == Norm::batch) return batch_norm(row, pass, b);
    if (row.norm != Norm::layer || row.adds) return {};
    return primitive<dnnl::layer_normalization_forward, dnnl::layer_normalization_backward>(row, pass, b);
  }

 private:
  /// BatchNorm: the channels second. LayerNorm: the normalized elements last. By strides: nothing moves in memory.
  static memory::desc plain_layout(const Row& row) {
    const memory::dim outer = row.outer(), middle = row.middle(), inner = row.inner();
    constexpr auto f32 = memory::data_type::f32;
    if (!row.has_channels() && inner == 1) return {{outer, middle}, f32, memory::format_tag::ab};
    if (!row.has_channels() && outer == 1) return {{inner, middle}, f32, memory::format_tag::ba};
    if (!row.has_channels()) return {{outer, inner, middle}, f32, memory::format_tag::acb};
    memory::dims extents(row.extents), strides(extents.size(), 1);
    for (std::size_t a = extents.size(); a-- > 1;) strides[a - 1] = strides[a] * extents[a];
    const auto second = [&row](memory::dims dims) {
      const memory::dim channels = dims[row.axis];
      dims.erase(dims.begin() + static_cast<std::ptrdiff_t>(row.axis));
      dims.insert(dims.begin() + 1, channels);
      return dims;
    };
    return {second(extents), f32, second(strides)};
  }

  /// A sum before the ReLU is not in every version, nor in every implementation. In blocks, 2.6 takes seconds with a ReLU.
  Call batch_norm(const Row& row, Pass pass, Buffers<float>& b) try {
    if ((row.adds && !can_add) || (row.rectifies && blocked_)) return {};
    return primitive<dnnl::batch_normalization_forward, dnnl::batch_normalization_backward>(row, pass, b);
  } catch (const dnnl::error& error) {
    if (!row.adds || error.status != dnnl_unimplemented) throw;
    return {};
  }

  /// From version 3.2 on.
  Call group_norm([[maybe_unused]] const Row& row, [[maybe_unused]] Pass pass, [[maybe_unused]] Buffers<float>& b) {
#if DNNL_VERSION_MAJOR > 3 || (DNNL_VERSION_MAJOR == 3 && DNNL_VERSION_MINOR >= 2)
    if (blocked_) return {};
    using Forward = dnnl::group_normalization_forward;
    using Backward = dnnl::group_normalization_backward;
    const memory::desc layout = plain_layout(row),
                       params{{row.params()}, memory::data_type::f32, memory::format_tag::a};
    const auto flags = Flags::use_scale | Flags::use_shift;
    const typename Forward::primitive_desc forward(engine_, prop_kind::forward_training, layout, layout, row.groups,
                                                   static_cast<float>(eps), flags);
    std::unordered_map<int, memory> arguments{{DNNL_ARG_SRC, at(layout, b.x)},
                                              {DNNL_ARG_MEAN, at(forward.mean_desc(), b.mean)},
                                              {DNNL_ARG_VARIANCE, at(forward.variance_desc(), b.var)},
                                              {DNNL_ARG_SCALE, at(params, b.weight)},
                                              {DNNL_ARG_SHIFT, at(params, b.bias)},
                                              { DNNL_ARG_DST,
                                                at(layout, b.out) }};
    if (pass != Pass::backward) return executed(Forward(forward), std::move(arguments));
    Forward(forward).execute(stream_, arguments);
    stream_.wait();
    arguments.erase(DNNL_ARG_DST);
    arguments.erase(DNNL_ARG_SHIFT);
    arguments[DNNL_ARG_DIFF_DST] = at(layout, b.dy);
    arguments[DNNL_ARG_DIFF_SRC] = at(layout, b.out);
    arguments[DNNL_ARG_DIFF_SCALE] = at(params, b.dweight);
    arguments[DNNL_ARG_DIFF_SHIFT] = at(params, b.dbias);
    const typename Backward::primitive_desc backward(engine_, prop_kind::backward, layout, layout, layout, row.groups,
                                                     static_cast<float>(eps), flags, forward);
    return executed(Backward(backward), std::move(arguments));
#else
    return {};
#endif
  }

  template <class Forward, class Backward>
  Call primitive(const Row& row, Pass pass, Buffers<float>& b) {
    memory::desc layout = plain_layout(row);
    if (blocked_) {  // of NCHW: the same bytes, read as another order of the same numbers
      if (row.norm != Norm::batch || row.extents.size() != 4 || row.axis != 1 || row.middle() % 16 != 0) return {};
      layout = {memory::dims(row.extents), memory::data_type::f32, memory::format_tag::aBcd16b};
    }
    const bool eval = pass == Pass::eval;
    auto bits = static_cast<unsigned>(Flags::use_scale) | static_cast<unsigned>(Flags::use_shift);
    if (eval) bits |= static_cast<unsigned>(Flags::use_global_stats);
    if (row.rectifies) bits |= static_cast<unsigned>(row.adds ? fuse_add_relu : Flags::fuse_norm_relu);
    const auto flags = static_cast<Flags>(bits);
    const auto forward =
        forward_of<Forward>(engine_, eval ? prop_kind::forward_inference : prop_kind::forward_training, layout, flags);
    const memory::desc params{{row.params()}, memory::data_type::f32, memory::format_tag::a};
    const memory::desc stats = forward_of<Forward>(engine_, prop_kind::forward_training, layout, flags).mean_desc();
    std::unordered_map<int, memory> arguments{
        {DNNL_ARG_SRC, at(layout, b.x)},       {DNNL_ARG_MEAN, at(stats, b.mean)},
        {DNNL_ARG_VARIANCE, at(stats, b.var)}, {DNNL_ARG_SCALE, at(params, b.weight)},
        {DNNL_ARG_SHIFT, at(params, b.bias)},  {DNNL_ARG_DST, at(layout, b.out)}};
    if (row.adds) arguments[DNNL_ARG_SRC_1] = at(layout, b.residual);
    const memory::desc mask = forward.workspace_desc();
    const bool keeps_mask = mask.get_size() > 0;
    if (keeps_mask) arguments[DNNL_ARG_WORKSPACE] = memory(mask, engine_);
    if (pass != Pass::backward) return executed(Forward(forward), std::move(arguments));
    Forward(forward).execute(stream_, arguments);
    stream_.wait();
    arguments.erase(DNNL_ARG_DST);
    arguments.erase(DNNL_ARG_SRC_1);
    arguments[DNNL_ARG_DIFF_DST] = at(layout, b.dy);
    arguments[DNNL_ARG_DIFF_SRC] = at(layout, b.out);
    if (row.adds) arguments[DNNL_ARG_DIFF_SRC_1] = at(layout, b.second);
    arguments[DNNL_ARG_DIFF_SCALE] = at(params, b.dweight);
    arguments[DNNL_ARG_DIFF_SHIFT] = at(params, b.dbias);
    const auto backward = backward_of<Backward>(engine_, layout, flags, forward);
    int inputs = 0;  // with the shift among them or not, by version and norm: any other number is refused
    dnnl_primitive_desc_query(backward.get(), dnnl_query_num_of_inputs_s32, 0, &inputs);
    if (inputs == (keeps_mask ? 6 : 5)) arguments.erase(DNNL_ARG_SHIFT);
    return executed(Backward(backward), std::move(arguments));
  }

  template <class Primitive>
  Call executed(Primitive primitive, std::unordered_map<int, memory> arguments) {
    return [this, primitive = std::move(primitive), arguments = std::move(arguments)] {
      primitive.execute(stream_, arguments);
      stream_.wait();
    };
  }

  memory at(const memory::desc& layout, const Buffer<float>& buffer) { return memory(layout, engine_, buffer.data()); }

  bool blocked_;
  engine engine_{engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
};

}  // namespace

std::unique_ptr<Peer> onednn_peer() { return std::make_unique<OneDnn>(false); }
std::unique_ptr<Peer> onednn_blocked_peer() { return std::make_unique<OneDnn>(true); }

}  // namespace peers
