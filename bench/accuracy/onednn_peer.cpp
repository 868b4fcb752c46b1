// oneDNN in float: its batch normalization and layer normalization primitives. It takes eps as a float, and leaves the
// running statistics to its caller.
#include <dnnl.hpp>
#include <unordered_map>

#include "peer.hpp"

namespace peers {
namespace {

using dnnl::memory, dnnl::prop_kind;
using Flags = dnnl::normalization_flags;

/// BatchNorm: the channels second, by strides, so that nothing moves in memory. LayerNorm: groups are rows, since it
/// normalizes the last axis only.
memory::desc layout_of(const Problem& p) {
  if (!p.is_batch_norm)
    return {{static_cast<memory::dim>(p.g.groups), static_cast<memory::dim>(p.g.params)},
            memory::data_type::f32,
            memory::format_tag::ab};
  memory::dims extents(p.extents), strides(extents.size(), 1);
  for (std::size_t a = extents.size(); a-- > 1;) strides[a - 1] = strides[a] * extents[a];
  const auto second = [&p](memory::dims dims) {
    const memory::dim channels = dims[p.axis];
    dims.erase(dims.begin() + static_cast<std::ptrdiff_t>(p.axis));
    dims.insert(dims.begin() + 1, channels);
    return dims;
  };
  return {second(extents), memory::data_type::f32, second(strides)};
}

/// The arguments of one problem, and where they lie.
struct Arguments {
  Arguments(const Problem& p, bool evaluates)
      : x(in(p.x, p)),
        dy(in(p.dy, p)),
        y(x.size()),
        dx(x.size()),
        weight(p.weight),
        bias(p.bias),
        dweight(p.g.params),
        dbias(p.g.params),
        mean(evaluates ? p.running_mean : Floats(p.g.groups)),
        var(evaluates ? p.running_var : Floats(p.g.groups)) {}

  static Floats in(const Floats& values, const Problem& p) { return p.is_batch_norm ? values : to_rows(values, p.g); }
  static Floats out(const Floats& values, const Problem& p) {
    return p.is_batch_norm ? values : from_rows(values, p.g);
  }

  Floats x, dy, y, dx, weight, bias, dweight, dbias, mean, var;
};

class OneDnn : public Peer {
 public:
  std::string name() const override { return "oneDNN"; }
  std::string version() const override {
    const dnnl::version_t* const v = dnnl::version();
    return std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch);
  }

  Moments moments(const Problem& p) override {
    const Arguments all = run_norm(p, false);
    return {all.mean, all.var};
  }

  std::vector<Moments> running(const Problem&, std::optional<double>, int) override { return {}; }

  Outputs run(const Problem& p, bool evaluates) override {
    const Arguments all = run_norm(p, evaluates);
    return {Arguments::out(all.y, p), Arguments::out(all.dx, p), all.dweight, all.dbias};
  }

 private:
  Arguments run_norm(const Problem& p, bool evaluates) {
    Arguments all(p, evaluates);
    if (p.is_batch_norm)
      run_primitives<dnnl::batch_normalization_forward, dnnl::batch_normalization_backward>(p, evaluates, all);
    else
      run_primitives<dnnl::layer_normalization_forward, dnnl::layer_normalization_backward>(p, evaluates, all);
    return all;
  }

  template <class Forward, class Backward>
  void run_primitives(const Problem& p, bool evaluates, Arguments& all) {
    const memory::desc layout = layout_of(p);
    const auto eps = static_cast<float>(p.eps);
    auto flags = static_cast<unsigned>(Flags::use_scale) | static_cast<unsigned>(Flags::use_shift);
    if (evaluates) flags |= static_cast<unsigned>(Flags::use_global_stats);
    const auto forward_of = [&](prop_kind kind) {
      return typename Forward::primitive_desc({kind, layout, eps, static_cast<Flags>(flags)}, engine_);
    };
    const auto training = forward_of(prop_kind::forward_training);
    const auto forward = evaluates ? forward_of(prop_kind::forward_inference) : training;
    const typename Backward::primitive_desc backward(
        {prop_kind::backward, layout, layout, eps, static_cast<Flags>(flags)}, engine_, training);
    std::unordered_map<int, memory> arguments = shared_arguments(layout, training.mean_desc(), all);
    const memory::desc params = vector_desc(all.weight.size());
    arguments[DNNL_ARG_DST] = at(layout, all.y);
    Forward(forward).execute(stream_, arguments);
    arguments.erase(DNNL_ARG_DST);
    arguments[DNNL_ARG_DIFF_DST] = at(layout, all.dy);
    arguments[DNNL_ARG_DIFF_SRC] = at(layout, all.dx);
    arguments[DNNL_ARG_DIFF_SCALE] = at(params, all.dweight);
    arguments[DNNL_ARG_DIFF_SHIFT] = at(params, all.dbias);
    Backward(backward).execute(stream_, arguments);
    stream_.wait();
  }

  /// What forward and backward take alike.
  std::unordered_map<int, memory> shared_arguments(const memory::desc& layout, const memory::desc& stats,
                                                   Arguments& all) {
    const memory::desc params = vector_desc(all.weight.size());
    return {{DNNL_ARG_SRC, at(layout, all.x)},
            {DNNL_ARG_MEAN, at(stats, all.mean)},
            {DNNL_ARG_VARIANCE, at(stats, all.var)},
            {DNNL_ARG_SCALE, at(params, all.weight)},
            {DNNL_ARG_SHIFT, at(params, all.bias)}};
  }

  static memory::desc vector_desc(std::size_t size) {
    return {{static_cast<memory::dim>(size)}, memory::data_type::f32, memory::format_tag::a};
  }
  memory at(const memory::desc& layout, Floats& values) { return memory(layout, engine_, values.data()); }

  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
};

}  // namespace

std::unique_ptr<Peer> onednn_peer() { return std::make_unique<OneDnn>(); }

}  // namespace peers
