"""Types of the compiled module; its sources are in envs/metaworld/native."""

from typing import Any

from numpy import bool_, float32, float64
from numpy.typing import NDArray

INFO_NAMES: tuple[str, ...]
OBSERVATION_SIZE: int

class Family:
    @property
    def attributes(self) -> list[tuple[str, int]]: ...
    @property
    def parameters(self) -> list[tuple[str, int]]: ...
    @property
    def values(self) -> list[float]: ...

class Task: ...

class Engine:
    def __init__(self, size: int, goal_visible: bool, threads: int) -> None: ...
    @property
    def threads(self) -> int: ...
    def assign(self, index: int, task: Task) -> None: ...
    def reset(self, mask: NDArray[bool_], observation: NDArray[float64]) -> None: ...
    def step(
        self,
        action: NDArray[float32],
        active: NDArray[bool_],
        observation: NDArray[float64],
        reward: NDArray[float64],
        info: NDArray[float64],
    ) -> int: ...
    def state(self, index: int) -> list[float]: ...
    def save(self, index: int) -> list[float]: ...
    def load(self, index: int, saved: NDArray[float64]) -> None: ...

def family_names() -> list[str]: ...
def make_family(
    name: str,
    model: Any,
    mocap_low: NDArray[float64],
    mocap_high: NDArray[float64],
    action_scale: float,
    frame_skip: int,
    obs_low: NDArray[float64],
    obs_high: NDArray[float64],
    parameters: list[str],
) -> Family: ...
def make_task(
    family: Family,
    body_pos: NDArray[float64],
    site_pos: NDArray[float64],
    state: NDArray[float64],
    constants: NDArray[float64],
    observation: NDArray[float64],
) -> Task: ...
def vary_task(task: Task, parameters: NDArray[float64]) -> Task: ...
def norm(x: NDArray[float64]) -> float: ...
def set_dot_is_fused(fused: bool) -> None: ...
