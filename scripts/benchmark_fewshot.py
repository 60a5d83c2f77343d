"""MAML's meta-gradient of both orders, per case: all tasks at once (vmap), two at once (groups), each by itself (loop);
and as the plain loop over tasks (plain), which has one graph and all of torch's threads for one task after another.

``python scripts/benchmark_fewshot.py [--device cuda] [--repeats 5] [--out results/fewshot_speed.json]``
"""

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

import gymnasium as gym
import torch
from benchmark_learner import OneByOne

from meta_rl.algorithms.maml import SupervisedMaml
from meta_rl.config import NetworkConfig, SupervisedMamlConfig
from meta_rl.core.task_map import BACKENDS
from meta_rl.core.types import Examples, MetaBatch, to_device
from meta_rl.networks.fewshot import make_network

# name: ways, shots, query shots, inner steps, tasks, pooling
CASES = {
    "5w1s, 1 step, 32 tasks, max pooling": (5, 1, 1, 1, 32, "max"),
    "5w1s, 1 step, 32 tasks, strided": (5, 1, 1, 1, 32, "stride"),
    "5w1s, 15 queries, 5 steps, 16 tasks, max pooling": (5, 1, 15, 5, 16, "max"),
    "20w1s, 5 steps, 16 tasks, strided": (20, 1, 1, 5, 16, "stride"),
}


class PlainMaml(OneByOne, SupervisedMaml):
    """The twin of the learner of labelled examples."""


def batch(ways: int, shots: int, query: int, tasks: int) -> MetaBatch:
    """Random images."""

    def examples(each: int) -> Examples:
        target = torch.arange(ways).repeat(each).expand(tasks, -1).contiguous()
        return Examples(torch.rand(tasks, ways * each, 1, 28, 28), target, torch.ones(target.shape))

    return MetaBatch((examples(shots),), examples(query))


def main() -> None:
    """Time every case and order; interleaved, medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    device, rows = torch.device(options.device), []
    for name, (ways, shots, query, steps, tasks, pooling) in CASES.items():
        network = make_network(gym.spaces.Box(0, 1, (1, 28, 28)), gym.spaces.Discrete(ways),
                               NetworkConfig(hidden=(64,) * 4, pooling=pooling), 0).to(device)  # fmt: skip
        data = to_device(batch(ways, shots, query, tasks), device)
        data = data._replace(support=data.support * steps)
        for first_order in (False, True):
            config = SupervisedMamlConfig(inner_steps=steps, first_order=first_order)
            ways_to_compute = {backend: (SupervisedMaml(config, network), backend) for backend in BACKENDS}
            ways_to_compute["plain"] = (PlainMaml(config, network), "vmap")
            params = ways_to_compute["plain"][0].init().params
            seconds = {way: [] for way in ways_to_compute}
            for repeat in range(options.repeats + 1):
                for way, (learner, backend) in ways_to_compute.items():
                    started = time.perf_counter()
                    learner._gradient(backend, params, data)
                    if device.type == "cuda":
                        torch.cuda.synchronize()
                    if repeat:  # the first warms up
                        seconds[way].append(time.perf_counter() - started)
            median = {way: 1000 * statistics.median(times) for way, times in seconds.items()}
            speedup = {way: median["plain"] / median[way] for way in BACKENDS}
            rows.append({"case": name, "order": 2 - first_order, "milliseconds": median, "times_the_loop": speedup})
            shown = ", ".join(f"{b} {median[b]:.0f} ms ({speedup[b]:.2f}x)" for b in BACKENDS)
            shown += f", plain {median['plain']:.0f} ms"
            print(f"{name}, order {2 - first_order}: {shown}", flush=True)
    if options.out:
        where = torch.cuda.get_device_name() if device.type == "cuda" else platform.machine()
        found = {"device": where, "threads": torch.get_num_threads(), "torch": torch.__version__, "rows": rows}
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
