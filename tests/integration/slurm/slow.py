"""A model that outlasts its time limit on any machine, until an attempt has got far enough."""

import time

from baselines.dcgan import DCGAN


class Slow(DCGAN):
    """Two seconds a step, none in an attempt that begins after `ENOUGH` steps."""

    ENOUGH = 15
    pause = 2.0
    steps = 0

    def step(self, real):
        time.sleep(self.pause)
        self.steps += 1
        return super().step(real)

    def state_dict(self):
        return {**super().state_dict(), "steps": self.steps}

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.steps = state["steps"]
        if self.steps >= self.ENOUGH:
            self.pause = 0
