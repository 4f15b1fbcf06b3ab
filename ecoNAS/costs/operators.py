"""Which operators of a traced network do multiply-adds, how many, and which are known to do none.

One fused multiply-add is one MAC. Convolutions, linear layers, matrix products and attention are counted; norms,
elementwise work, pooling and resizing are not, so that this count and `torch.utils.flop_counter` agree exactly. An
operator that is on neither list is an error of the caller's: a heavy one that counts as zero would mislead a search.
"""

import warnings
from collections.abc import Callable
from math import prod
from typing import Any, Final

with warnings.catch_warnings():
    # `import fvcore.nn` uses torch.jit.script, which torch deprecates.
    warnings.simplefilter("ignore")
    from fvcore.nn import jit_handles

# fvcore's values of a traced graph (torch._C.Value) have no type stubs.
Handle = Callable[[list[Any], list[Any]], Any]


def attention_macs(inputs: list[Any], outputs: list[Any]) -> int:
    """Count softmax(Q K^T) V, for which fvcore has no handler: both products, heads and batch included.

    Args:
        inputs: Query (..., n, d), key (..., m, d), value (..., m, e), then options.
        outputs: Not needed.
    """
    del outputs
    query, key, value = (jit_handles.get_shape(given) for given in inputs[:3])
    return int(prod(query[:-2]) * query[-2] * key[-2] * (query[-1] + value[-1]))


def einsum_macs(inputs: list[Any], outputs: list[Any]) -> int:
    """Count a contraction of two tensors: one MAC for each combination of all indices.

    fvcore's own handler rounds (39 MACs fewer for timm's mvitv2_small); it remains for three tensors and more.
    """
    shapes = [jit_handles.get_shape(given) for given in inputs[1].node().inputs()]
    terms = inputs[0].toIValue().replace(" ", "").partition("->")[0].split(",")
    if len(terms) != 2 or any("." in term for term in terms):
        return int(jit_handles.einsum_flop_jit(inputs, outputs))
    sizes = {
        index: size for term, shape in zip(terms, shapes, strict=True) for index, size in zip(term, shape, strict=True)
    }
    return prod(sizes.values())


def same_padding_convolution_macs(inputs: list[Any], outputs: list[Any]) -> int:
    """Count a convolution whose padding is given as a word: positions of the output times numbers in the filter."""
    filter_shape, output_shape = jit_handles.get_shape(inputs[1]), jit_handles.get_shape(outputs[0])
    return int(output_shape[0] * prod(output_shape[2:]) * prod(filter_shape))


MAC_OPERATORS: Final[dict[str, Handle]] = {
    "aten::_convolution": jit_handles.conv_flop_jit,
    "aten::_convolution_mode": same_padding_convolution_macs,
    "aten::addmm": jit_handles.addmm_flop_jit,
    "aten::bmm": jit_handles.bmm_flop_jit,
    "aten::einsum": einsum_macs,
    "aten::linear": jit_handles.linear_flop_jit,
    "aten::matmul": jit_handles.matmul_flop_jit,
    "aten::mm": jit_handles.matmul_flop_jit,
    "aten::scaled_dot_product_attention": attention_macs,
}

# Those that timm's models use (one or two of each family were traced), without the `aten::` in front and the `_` of
# in-place forms behind. fvcore itself passes over what only moves data, such as `aten::reshape`.
_MAC_FREE_BY_SORT: Final = {
    "norms": "batch_norm group_norm instance_norm layer_norm linalg_vector_norm norm rms_norm",
    "activations": "celu elu gelu glu hardsigmoid hardswish hardtanh leaky_relu log_softmax mish prelu relu6 selu "
    "sigmoid silu softmax softplus tanh",
    "elementwise": "abs add addcmul ceil clamp_max clamp_min cos div exp log maximum minimum mul neg pow reciprocal "
    "round rsqrt rsub sin sqrt square sub where",
    "reductions": "amax amin argmax cumsum mean min std sum var var_mean",
    "pooling": "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool2d avg_pool1d avg_pool2d max_pool2d",
    "resizing": "_upsample_bicubic2d_aa _upsample_bilinear2d_aa upsample_bicubic2d upsample_bilinear2d "
    "upsample_nearest2d",
    "moving data": "clone col2im dropout expand_as flip im2col index_select lift_fresh pad pixel_shuffle "
    "pixel_unshuffle repeat repeat_interleave reshape_as slice_scatter tile unflatten unfold",
}
MAC_FREE: Final = frozenset(name for names in _MAC_FREE_BY_SORT.values() for name in names.split())


def is_mac_free(operator: str) -> bool:
    """Return whether a traced operator, such as `aten::silu_`, is known to do no multiply-adds that count."""
    return operator.removeprefix("aten::").removesuffix("_") in MAC_FREE
