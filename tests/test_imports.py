"""What is imported when: torch costs more than a second, so nobody pays for it before it is needed."""

import subprocess
import sys

import pytest


def in_a_fresh_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "arguments",
    ["", "--help", "train --help", "list datasets", "list recipes", "conv 9x9x3", "train --lr x", "compare a b"],
)
def test_neither_importing_noonchi_nor_asking_it_what_it_can_do_loads_torch(arguments):
    call = f"sys.argv[1:] = {arguments.split()}; cli._run()" if arguments else ""
    loaded = in_a_fresh_process(f"import sys, noonchi; from noonchi import cli; {call}\nprint(sorted(sys.modules))")
    names = loaded.splitlines()[-1]
    assert "'noonchi'" in names
    assert "'torch'" not in names


_INTERRUPTED = """
import os, runpy, signal, sys
sys.addaudithook(lambda event, told: event == "import" and told[0] == "click" and os.kill(os.getpid(), signal.SIGINT))
runpy.run_module("noonchi", run_name="__main__", alter_sys=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
def test_ctrl_c_while_it_starts_is_one_line():
    done = subprocess.run([sys.executable, "-c", _INTERRUPTED], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "noonchi: stopped.\n")


@pytest.mark.parametrize("order", [("training", "fitting", "classifier"), ("classifier", "fitting", "training")])
def test_the_functions_are_not_shadowed_by_modules_in_any_order_of_imports(order):
    check = "print([type(getattr(noonchi, name)).__name__ for name in ('train', 'fit', 'load', 'resume')])"
    code = "import noonchi\n" + "\n".join(f"import noonchi.{module}; {check}" for module in order)
    assert set(in_a_fresh_process(code).splitlines()) == {"['function', 'function', 'function', 'function']"}


def test_every_public_name_is_there():
    code = "import noonchi\nprint([name for name in noonchi.__all__ if not hasattr(noonchi, name)])"
    assert in_a_fresh_process(code) == "[]\n"


def test_a_name_that_is_not_there_is_an_attribute_error():
    import noonchi

    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = noonchi.trian


def test_timm_is_imported_without_torchs_compiler_and_that_works_afterwards():
    printed = in_a_fresh_process(
        "import sys, torch; disable = torch.compiler.disable\n"
        "from noonchi.networks import backbones; backbones.is_backbone('resnet18')\n"
        "print([name for name in ('torch._dynamo', 'torch._dynamo.utils', 'sympy') if name in sys.modules])\n"
        "from torchvision.ops import roi_align\n"
        "asks = sys.modules[roi_align.__module__].is_compile_supported\n"
        "from torch._dynamo.utils import is_compile_supported\n"
        "print(torch.compiler.disable is disable, asks('cpu') == is_compile_supported('cpu'))"
    )
    assert printed.splitlines() == ["[]", "True True"]
