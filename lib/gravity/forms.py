"""Which form of `lib.gravity.fast` computes what, and which one is taken by itself.

Nothing here needs torch, so that a command can refuse before anything is loaded.
"""

FORMS = ("auto", "reference", "sdpa", "fused", "near", "chunked", "flex")
#: What one kernel alone has, without a cutoff: on a CPU and on a CUDA GPU.
_OWN = {("gaussian", "cpu"): "sdpa", ("gaussian", "cuda"): "sdpa",
        ("newton", "cpu"): "fused", ("newton", "cuda"): "flex"}


def forms_of(kernel: str, cutoff: str) -> tuple[str, ...]:
    """The forms that can compute a kernel with a cutoff.

    >>> forms_of("newton", "none"), forms_of("newton", "compact")
    (('reference', 'chunked', 'fused', 'flex'), ('reference', 'chunked', 'near'))
    """
    own = [form for (known, _), form in _OWN.items() if known == kernel]
    if cutoff != "none":
        own = ["near"] * bool(own)
    return "reference", "chunked", *dict.fromkeys(own)


def automatic(
    kernel: str, cutoff: str, device: str = "cpu", wide: bool = False,
    repeatable: bool = False, growing: bool = False,
) -> str:
    """The form that `auto` takes on a device.

    wide: numbers of 64 bits, which FlexAttention and lists of near pairs do not take;
    repeatable: gradients must have the same last bits each time, as those of
    FlexAttention have not; growing: the radius learns, from pairs outside it too, which
    lists do not have.

    >>> automatic("newton", "none", "cuda"), automatic("newton", "none", "cpu")
    ('flex', 'fused')
    >>> automatic("newton", "hard"), automatic("newton", "hard", growing=True)
    ('near', 'chunked')
    """
    if kernel == "potential":
        return "chunked"
    if cutoff != "none":
        return "near" if device == "cpu" and not (wide or growing) else "chunked"
    own = _OWN.get((kernel, device), _OWN[kernel, "cpu"])
    return "fused" if own == "flex" and (wide or repeatable) else own


def expect_form(form: str, kernel: str, cutoff: str) -> None:
    """ValueError for a form that cannot compute a kernel with a cutoff."""
    can = forms_of(kernel, cutoff)
    if form not in ("auto", *can):
        raise ValueError(
            f"form {form!r} cannot compute kernel {kernel!r} with cutoff {cutoff!r}; "
            f"use one of auto, {', '.join(can)}")
