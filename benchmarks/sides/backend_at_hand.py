"""Imported before Keras, has it work on the framework that this environment holds."""

import os
from importlib.util import find_spec

os.environ["KERAS_BACKEND"] = next(name for name in ("tensorflow", "jax", "torch") if find_spec(name))
