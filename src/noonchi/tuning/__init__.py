"""Which settings to train with: a learning rate found in a hundred steps, or a search over whole trainings."""

from noonchi.tuning.rate import Found, find_rate
from noonchi.tuning.search import Search, resume, search
from noonchi.tuning.trial import Trial

__all__ = ["Found", "Search", "Trial", "find_rate", "resume", "search"]
