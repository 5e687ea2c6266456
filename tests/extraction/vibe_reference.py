"""ViBe as its authors print it, one pixel after the other, with the random words of ``extraction.backgrounds.vibe``."""

import numpy as np

from extraction.backgrounds.vibe import NEIGHBOURS


class SlowViBe:
    """Samples are lists of N colours for each (y, x), ``None`` where there are none."""

    def __init__(self, height, width, seed):
        self.height, self.width = height, width
        self.random = np.random.PCG64(seed)
        self.samples = {(y, x): None for y in range(height) for x in range(width)}
        self.latest = np.zeros((height, width, 3), np.uint8)

    def word(self):
        return int(self.random.random_raw())

    def neighbour(self, y, x, number):
        dy, dx = NEIGHBOURS[number]
        return min(max(y + dy, 0), self.height - 1), min(max(x + dx, 0), self.width - 1)

    def update(self, image, forbidden):
        background = np.zeros((self.height, self.width), bool)
        for (y, x), samples in self.samples.items():
            if samples is not None and not forbidden[y, x]:
                colour = image[y, x].astype(int)
                matches = sum(np.linalg.norm(colour - sample.astype(int)) <= 20 for sample in samples)
                background[y, x] = matches >= 2
        words = {at: self.word() for at in self.samples}
        known = {at for at, samples in self.samples.items() if samples is not None}
        for y, x in self.samples:
            if background[y, x]:
                self.latest[y, x] = image[y, x]
                if words[y, x] % 16 == 0:
                    self.samples[y, x][(words[y, x] >> 16) % 2**16 * 20 // 2**16] = image[y, x]
        for y, x in self.samples:
            at = self.neighbour(y, x, (words[y, x] >> 8) % 8)
            if background[y, x] and (words[y, x] >> 4) % 16 == 0 and at in known:
                self.samples[at][(words[y, x] >> 32) % 2**16 * 20 // 2**16] = image[y, x]
        for y, x in self.samples:
            if (y, x) not in known and not forbidden[y, x]:
                self.initialise(y, x, image, forbidden)
                background[y, x] = True
        return background

    def initialise(self, y, x, image, forbidden):
        word = self.word()
        self.samples[y, x] = []
        for n in range(20):
            at = self.neighbour(y, x, (word >> 3 * n) % 8)
            self.samples[y, x].append(image[y, x] if forbidden[at] else image[at])
        self.latest[y, x] = image[y, x]
