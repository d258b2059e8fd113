"""Chance with names: everything random here comes from one of these, and so from the seed alone."""

import numpy as np


class Dice(np.random.RandomState):
    def one(self, options):
        """One of them; of functions, what it gives for these dice."""
        chosen = options[self.randint(len(options))]
        return chosen(self) if callable(chosen) and getattr(chosen, "__name__", "") == "<lambda>" else chosen

    def flip(self, chance=0.5):
        return bool(self.rand() < chance)

    def whole(self, low, high):
        """From `low` to `high`, both possible."""
        return int(self.randint(low, high + 1))

    def between(self, low, high):
        return round(float(self.uniform(low, high)), 3)

    def some(self, options, count):
        """Different ones, in random order."""
        return [options[at] for at in self.permutation(len(options))[:count]]
