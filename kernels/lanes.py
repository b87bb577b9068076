"""64 neighbouring values at once, with a 64-bit mask of those that are meant.

A mask's bit `i` stands for element ``offset + i`` of an array. Numba has no vector types; these few
functions are written for LLVM, which makes of them what the processor has (AVX-512, AVX2, NEON).
Each does per element what scalar code would, so results are the same on all of them.

None checks bounds: the caller sees to it that ``offset + 64`` elements are there.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

#: Elements of a mask.
LANES = 64

_function: Any = intrinsic  # of what a type checker sees, only names are true
_INT = ir.IntType(64)
_FIRST = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
_BITS = ir.VectorType(ir.IntType(1), LANES)


def _load(context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> tuple[Any, Any]:
    """Return 64 elements as a vector, and the pointer to them; aligned as single elements are."""
    data = context.make_array(array_type)(context, builder, array).data
    vector = ir.VectorType(context.get_data_type(array_type.dtype), LANES)
    pointer = builder.bitcast(builder.gep(data, [offset]), vector.as_pointer())
    return builder.load(pointer, align=array_type.dtype.bitwidth // 8), pointer


def _splat(builder: Any, value: Any) -> Any:
    none = ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined)
    one = builder.insert_element(none, value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, none, _FIRST)


def _compare(unordered: bool) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array, offset, bound = args
        values, _ = _load(context, builder, signature.args[0], array, offset)
        compare = builder.fcmp_unordered if unordered else builder.fcmp_ordered
        return builder.bitcast(compare("<=", values, _splat(builder, bound)), _INT)

    return code


@_function
def at_most(typing: Any, values: Any, offset: Any, bound: Any) -> Any:  # noqa: ARG001
    """Return the mask of ``values[offset + i] <= bound``; NaN is not.

    ``(array of floats (n,), uint64, same float) -> uint64``.
    """
    return types.uint64(values, types.uint64, values.dtype), _compare(unordered=False)


@_function
def at_most_or_nan(typing: Any, values: Any, offset: Any, bound: Any) -> Any:  # noqa: ARG001
    """Return the mask of ``values[offset + i] <= bound`` or NaN; as :func:`at_most`."""
    return types.uint64(values, types.uint64, values.dtype), _compare(unordered=True)


@_function
def add_where(typing: Any, sums: Any, offset: Any, mask: Any, value: Any) -> Any:  # noqa: ARG001
    """Add `value` to ``sums[offset + i]`` where bit `i` of the mask is set.

    ``(array (n,), uint64, uint64, its element) -> None``.
    """

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array, offset, mask, value = args
        old, pointer = _load(context, builder, signature.args[0], array, offset)
        add = builder.fadd if isinstance(signature.args[3], types.Float) else builder.add
        new = add(old, _splat(builder, value))
        chosen = builder.select(builder.bitcast(mask, _BITS), new, old)
        builder.store(chosen, pointer, align=signature.args[0].dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(sums, types.uint64, types.uint64, sums.dtype), code


@_function
def add_lanes(typing: Any, sums: Any, offset: Any, other: Any) -> Any:  # noqa: ARG001
    """Add ``sums[other + i]`` to ``sums[offset + i]``. ``(array (n,), uint64, uint64) -> None``."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array, offset, other = args
        old, pointer = _load(context, builder, signature.args[0], array, offset)
        more, _ = _load(context, builder, signature.args[0], array, other)
        add = builder.fadd if isinstance(signature.args[0].dtype, types.Float) else builder.add
        builder.store(add(old, more), pointer, align=signature.args[0].dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(sums, types.uint64, types.uint64), code


@_function
def lowest(typing: Any, mask: Any) -> Any:  # noqa: ARG001
    """Return the place of the lowest bit set; `mask` must not be 0. ``uint64 -> uint64``."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), code
