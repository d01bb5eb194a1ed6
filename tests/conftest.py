"""One thread and the same random examples for every test: a result depends on no machine and no neighbour."""

import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("same every time", derandomize=True, deadline=None)
settings.load_profile("same every time")
