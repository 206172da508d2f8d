"""What nobody should type, and somebody will: numbers, words, names, paths and options for the fuzzers."""

NUMBERS: list[float] = [
    0, 1, -1, 2, 3, 7, 64, 255, 1000, 4096, 65_536, 10**6, 10**9, 999_999_999, 2**31, 2**32, 2**63, 2**64,
    -(2**63),
    10**30, -(10**30), int("9" * 4000), 0.0, -0.0, 0.5, 1e-3, 1e-300, 5e-324, 1e300, -1e300,
    1.7976931348623157e308,
]  # fmt: skip
WORDS = [
    "", " ", "a", "true", "nan", "inf", "-inf", "1e400", "None", "null", "0x10", "1_000", "-1", "all",
    "quick", "../x",
    "/etc/passwd", "a/b", "a\\b", "a b", "é", "名前", "😀", "a\u0301", "\u202eevil", "\x1b[2J", "\x00", "\x07",
    "\x7f", "\x9b",
    "a\nb", "a\r\nb", "a\tb", "\u2028", "\ufeff", "\udcff", "\ud800", "%s", "{}", "${HOME}", "`id`", "'",
    '"', "<b>", "[x]", "[",
    "]", "=", ",", "#", "a" * 300, "é" * 5000, "[" * 1000, "--", "-", "-x", "__class__", "cubic",
    "bernoulli", "cpu", "cuda",
]  # fmt: skip
NAMES = [
    "name", "title", "device", "threads", "seeds", "samples", "f_evals", "problems", "estimators",
    "training", "elbo",
    "moments", "time", "measurements", "kind", "label", "latents", "categories", "logits", "scales", "draws",
    "rlo", "nowhere:X",
    "json:loads", ":", "a:", ":b", "..:x", "rloo:", "small.py:Mine", "", "é", "x" * 300,
]  # fmt: skip
PATHS = [
    "nowhere", "nowhere/else", "", ".", "..", "../..", "fuzzed.toml", "fuzzed.toml/", "fuzzed", "quick",
    "quik", "small.toml",
    "/", "/dev/null", "/proc/self/mem", "/nowhere", "~", "~nobody", "a" * 300, "a/" * 3000, "\udcff", "é/😀",
    "-", "\x1b]0;x\x07",
]  # fmt: skip
OPTIONS = [
    "samples",
    "baseline",
    "temperature",
    "gamma",
    "copula",
    "indicator",
    "like",
    "stack",
    "x",
    "",
    "__init__",
    "a b",
]
BYTES = (b"[" * 3000, b"{a=" * 2000, b"9" * 5000, b"\x00", b"\xff", b"\r", b'"""')
COMMANDS = {
    "list": [
        ["estimators"],
        ["problems", "--family", "gaussian"],
        ["suites"],
        ["datasets", "--json"],
        ["measurements"],
    ],
    "check": [["rloo"], ["rloo[samples=4]", "--seed", "3"], ["disarm", "--json"]],
    "run": [
        ["quick", "--dry-run"],
        ["quick", "-e", "rloo", "--seeds", "2"],
        ["quick", "--time-limit", "8m", "--out", "x"],
    ],
    "status": [["held"], ["held", "--json"]],
    "report": [
        ["held"],
        ["held", "--format", "md,csv", "--json"],
        ["held", "--estimators", "rloo", "--problems", "cubic/*"],
        ["held", "--format", "tex", "--columns", "estimator,variance", "--width", "page"],
        ["held", "held", "--out", "both"],
    ],
    "compare": [["held", "held"], ["held", "held", "--fail-on", "changed"], ["held", "held", "--html", "page.html"]],
    "recommend": [["bernoulli[latents=50]"], ["toy[objective=cubic,family=bernoulli,logits=1]", "--draws", "100"]],
    "atlas": [
        ["--logit", "1", "--latents", "3", "--f-evals", "6"],
        ["--logit", "0", "--latents", "2x3", "--f-evals", "4"],
    ],
    "doctor": [[], ["--json"]],
}
"""Command lines that are taken, by verb; of the folders only `held` is there."""
