"""A model that takes its time, so that a training outlasts its time limit on any machine."""

import time

from baselines.dcgan import DCGAN


class Slow(DCGAN):
    def step(self, real):
        time.sleep(0.5)
        return super().step(real)
