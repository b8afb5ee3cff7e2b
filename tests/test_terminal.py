"""What a person sees: a line that moves in a terminal, lines that stay anywhere else."""

import re
import subprocess
import sys

import pytest

from noonchi.results import Epoch, Note, Reading, Step, printable
from noonchi.terminal import Terminal, epoch_line

METRICS = {"loss": 0.5, "accuracy": 0.75, "val_loss": 0.4, "val_accuracy": 0.8}

SHOW = """
from noonchi.results import Epoch, Note, Reading, Step
from noonchi.terminal import Terminal
with Terminal() as show:
    show(Note("[b]a note[/b] \\x1b[31mred"))
    for done in range(1, 4):
        show(Reading(done, 3))
    for step in range(1, 31):
        show(Step(7, step, 30, 1 / step))
    show(Epoch(7, {"loss": 0.5}, 1e-3, 2.0))
    show(Step(8, 1, 30, 0.5))
"""
COLOR = re.compile(rb"\x1b\[[0-9;]*m")
MOVE = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]|\r")


def test_an_epochs_line_has_80_columns_at_most_for_one_head():
    widest = Epoch(999, dict.fromkeys(METRICS, 0.123456), 1e-3, 999.9, best=True)
    assert len(epoch_line(widest)) <= 80


def test_a_star_marks_the_best_epoch_so_far():
    lines = [epoch_line(Epoch(1, METRICS, 1e-3, 4.21, best=best)) for best in (True, False)]
    assert lines[0] == "  1   4.2s  loss 0.5000  accuracy 0.7500  val_loss 0.4000  val_accuracy 0.8000 *"
    assert lines[1] == lines[0].removesuffix(" *")


def test_several_heads_are_named():
    metrics = {"loss": 1.0, "digit_accuracy": 0.9, "odd_accuracy": 0.8}
    assert epoch_line(Epoch(1, metrics, 1e-3, 1.0)).endswith("digit_accuracy 0.9000  odd_accuracy 0.8000")


def test_a_pipe_gets_a_line_a_note_and_an_epoch_and_no_control_codes():
    done = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, check=True)
    assert done.stdout == b""
    assert done.stderr.decode() == "[b]a note[/b] \\x1b[31mred\n  7   2.0s  loss 0.5000\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_a_terminal_gets_a_line_that_moves_and_is_taken_away_at_the_end():
    seen = in_a_terminal([sys.executable, "-c", SHOW], columns=80)
    assert b"\x1b[" in seen
    text = MOVE.sub(b"\n", COLOR.sub(b"", seen)).decode()
    assert re.search(r"epoch 7 .*\d+/30 loss \d\.\d{4}", text)
    assert "reading" in text
    assert "  7   2.0s  loss 0.5000\n" in text
    assert max(map(len, text.splitlines())) <= 80
    assert b"\x1b[?25h" in seen[seen.rindex(b"\x1b[?25l") :], "the cursor is shown again"


def in_a_terminal(command, columns):
    """All that a command writes to a terminal of so many columns."""
    import fcntl
    import os
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as child:
        os.close(theirs)
        seen = b""
        try:
            while some := os.read(ours, 65536):
                seen += some
        except OSError:  # Linux's way to say that the other end is closed
            pass
        os.close(ours)
    assert child.returncode == 0, seen.decode()
    return seen


def test_the_moving_line_is_gone_after_an_error():
    show = Terminal()

    def stop_early():
        with show:
            show(Step(1, 1, 3, 0.5))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_early()
    show(Reading(1, 1))  # and another one may come
    show(Note("done"))


def test_printable_leaves_letters_of_any_script():
    assert printable("눈치 é 😀.png") == "눈치 é 😀.png"
    assert printable("a\nb\x1b[2J\u202e") == "a\\nb\\x1b[2J\\u202e"
