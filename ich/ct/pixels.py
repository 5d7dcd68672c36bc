"""The pixels of a file: stored values, native or compressed, and HU from them, or BadSlice."""

from importlib.util import find_spec

import numpy as np
from jaxtyping import Float64, Int16, Integer

from ich.ct.codec import CODECS, REFUSED, Codec, PixelFormat
from ich.ct.elements import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, Elements

HU_MIN, HU_MAX = -1024, 3071
"""What 12 bits hold with intercept -1024. Below lies padding outside of the round field (-2000, -3024), above metal."""
WRAPPED_BITS, WRAPPED_INTERCEPT, WRAPPED_OFFSET = 12, -100, 1000
WRAPPED_SHARE = 0.01
"""Of a slice: metal above 3,095 HU fills less, air more."""
NATIVE = frozenset({"", IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED})
"""Uncompressed. A file that names no transfer syntax is: its elements have shown how they are encoded."""
STREAM_FACTOR, STREAM_SPARE = 2, 2**16
"""No sound stream is longer than twice its pixels and 64 KiB: pure noise takes 1.01 times in RLE, 1.1 in JPEG 2000."""
_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"


def check_pixels(elements: Elements, form: PixelFormat) -> None:
    """What can be said without decoding. Raises BadSlice: unsupported_codec, truncated, corrupt_pixels."""
    assert elements.pixels is not None
    start, length = elements.pixels.start, elements.pixels.length
    native = elements.transfer_syntax in NATIVE
    if not native:
        _find_codec(elements)
    if native and length is None:
        detail = "the pixels are in fragments, as compressed ones are, but the transfer syntax is uncompressed"
        raise elements.bad("corrupt_pixels", f"{detail}; export the file again")
    if length is not None and (start + length > elements.size or (native and length < form.bytes)):
        there = min(length, max(0, elements.size - start))
        detail = f"{form.bytes:,} bytes of pixels are needed, and {there:,} are there"
        raise elements.bad("truncated", f"{detail}; copy or export the file again")
    if not native and length is not None:
        detail = f"the pixels are not in fragments, as {elements.transfer_syntax} wants them"
        raise elements.bad("corrupt_pixels", f"{detail}; export the file again")


def read_stored(elements: Elements, form: PixelFormat) -> Integer[np.ndarray, "height width"]:
    """Stored values, after `check_pixels`. Raises BadSlice: no_pixels, unsupported_codec, truncated, corrupt_pixels."""
    assert elements.pixels is not None
    if elements.pixels.length is None:
        frame, bits = _decompress(elements, form)
        values = np.frombuffer(frame, f"<u{len(frame) // form.pixels}")
    else:
        order = ">" if elements.big_endian else "<"
        kind, bits = f"{order}u{form.bits_allocated // 8}", form.bits_stored
        values = np.frombuffer(elements.data, kind, form.pixels, elements.pixels.start)
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    return _keep_bits(values, bits, signed=form.signed).reshape(form.rows, form.columns)


def _keep_bits(values: Integer[np.ndarray, " n"], bits: int, *, signed: bool) -> Integer[np.ndarray, " n"]:
    """The lowest `bits` of each value, the top one as its sign if it has one; the rest may be anything (PS3.5, 8.1.1).

    Values without a sign come in a signed type too where they fit: numpy clips int16 six times faster than uint16.
    """
    spare = values.itemsize * 8 - bits
    same = values.view(f"i{values.itemsize}")
    if not spare:
        return same if signed else values
    return (same << spare) >> spare if signed else same & ((1 << bits) - 1)


def _find_codec(elements: Elements) -> Codec:
    syntax = elements.transfer_syntax
    codec = CODECS.get(syntax)
    if codec is None:
        detail = f"{syntax}: {REFUSED.get(syntax, 'there is no codec for this transfer syntax')}"
        raise elements.bad("unsupported_codec", f"{detail}; convert the file, for example with gdcmconv --raw")
    if find_spec(codec.module) is None:
        detail = f"{syntax}: {codec.name} needs a package that is not here"
        raise elements.bad("unsupported_codec", f"{detail}; pip install {codec.install}")
    return codec


def _decompress(elements: Elements, form: PixelFormat) -> tuple[bytes, int]:
    """The decoded frame, and how many bits of each value count."""
    codec = _find_codec(elements)
    stream = _join_fragments(elements)
    precision = _check_stream(elements, form, codec, stream)
    try:
        frame = codec.decode(stream, form)
    except ImportError as error:
        detail = f"{elements.transfer_syntax}: {codec.name} needs a package that is broken here ({error})"
        raise elements.bad("unsupported_codec", f"{detail}; pip install --force-reinstall {codec.install}") from error
    except Exception as error:  # at a damaged stream codecs raise anything, and nothing else can go wrong here
        raise elements.bad("corrupt_pixels", f"the {codec.name} stream cannot be decoded: {error}") from error
    expected = form.pixels * next(size for size in (1, 2, 4) if precision <= size * 8)
    if len(frame) != expected:
        detail = f"the {codec.name} stream decodes to {len(frame):,} bytes instead of {expected:,}"
        raise elements.bad("corrupt_pixels", f"{detail}; export the file again")
    return frame, min(precision, form.bits_stored)


def _check_stream(elements: Elements, form: PixelFormat, codec: Codec, stream: bytes) -> int:
    """A stream's precision in bits, once what it says about itself agrees with the header."""
    if len(stream) > STREAM_FACTOR * form.bytes + STREAM_SPARE:
        detail = f"{len(stream):,} bytes of {codec.name} are too many for {form.bytes:,} bytes of pixels"
        raise elements.bad("corrupt_pixels", f"{detail}; export the file again")
    found = codec.measure(stream, form)
    if found is None:
        detail = (
            f"the transfer syntax {elements.transfer_syntax} says {codec.name}, but the stream is not, or not sound"
        )
        raise elements.bad("corrupt_pixels", f"{detail}; export the file again")
    if found[:3] != (form.rows, form.columns, 1) or not 1 < found.precision <= form.bits_allocated:
        claim = f"{found.rows} x {found.columns} pixels of {found.components} components with {found.precision} bits"
        header = f"{form.rows} x {form.columns} of 1 with {form.bits_allocated}"
        raise elements.bad("corrupt_pixels", f"the {codec.name} stream claims {claim}, the header {header} at most")
    if codec.end not in stream:
        raise elements.bad("truncated", f"the {codec.name} stream has no end; copy or export the file again")
    return found.precision


def _join_fragments(elements: Elements) -> bytes:
    """The stream of the one frame: all items but the first, which is the table of offsets (PS3.5, A.4)."""
    assert elements.pixels is not None
    position, data = elements.pixels.start, elements.data
    fragments: list[bytes] = []
    while (tag := data[position : position + 4]) == _ITEM:
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        position += 8 + length
        fragments.append(data[position - length : position])
    if len(data) < position + 8:
        raise elements.bad("truncated", "the file ends inside its compressed pixels; copy or export it again")
    if tag != _END:
        raise elements.bad("corrupt_pixels", f"at byte {position:,} neither a fragment begins nor do they end")
    stream = b"".join(fragments[1:])
    if not stream:
        raise elements.bad("no_pixels", "the compressed pixels have no fragment; export the file again")
    return stream


def mend_wrapped(
    stored: Integer[np.ndarray, "height width"], form: PixelFormat, slope: float, intercept: float
) -> tuple[Integer[np.ndarray, "height width"], float, float]:
    """Stored values with the slope and intercept that make HU of them.

    About 123 slices of RSNA 2019 hold signed HU in 12 bits without a sign, so that air at -1000 stands at 3096. Their
    headers alone would tell them: an intercept above -100 leaves no room for air. But so may look a sound file without
    air, whose metal the mend would turn into air; so there has to be more at the top than metal can be.
    """
    if form.bits_stored == WRAPPED_BITS and not form.signed and intercept > WRAPPED_INTERCEPT:
        wrapped = np.count_nonzero(stored >= 2**WRAPPED_BITS - WRAPPED_OFFSET)
        if wrapped > WRAPPED_SHARE * stored.size:
            return (stored + WRAPPED_OFFSET) % 2**WRAPPED_BITS, 1.0, -float(WRAPPED_OFFSET)
    return stored, slope, intercept


def rescale(
    stored: Integer[np.ndarray, "height width"], slope: float, intercept: float
) -> Float64[np.ndarray, "height width"]:
    """HU before rounding and clipping; exact for whole numbers up to 2**53."""
    with np.errstate(over="ignore"):
        hu: Float64[np.ndarray, "height width"] = stored * np.float64(slope) + intercept
    return hu


def to_hu(
    stored: Integer[np.ndarray, "height width"], slope: float, intercept: float
) -> tuple[Int16[np.ndarray, "height width"], float, float]:
    """HU, rounded and clipped; the lowest and the highest before that.

    In whole numbers where slope and intercept allow it, as in nearly every file, and clipped only where there is need.
    """
    lowest, highest = sorted(int(end) * slope + intercept for end in (stored.min(), stored.max()))
    low, high, fits = HU_MIN - intercept, HU_MAX - intercept, np.iinfo(stored.dtype)
    if slope == 1 and intercept.is_integer() and low <= fits.max and high >= fits.min:
        shift = np.array(int(intercept)).astype(np.int16)  # whatever wraps on the way, the sum fits int16
        if lowest < HU_MIN or highest > HU_MAX:
            hu = np.clip(stored, max(int(low), fits.min), min(int(high), fits.max)).astype(np.int16, copy=False)
            hu += shift
        else:
            hu = stored.astype(np.int16, copy=False) + shift
    else:
        hu = np.clip(np.rint(rescale(stored, slope, intercept)), HU_MIN, HU_MAX).astype(np.int16)
    return hu, lowest, highest


def clip_hu(hu: float) -> int:
    """One value, as `to_hu` rounds and clips it."""
    return round(min(max(hu, HU_MIN), HU_MAX))
