"""An agent that has learned from labelled examples: adapt it to a few of your own, then let it answer.

predictor = meta_rl.load("runs/NAME").predictor()
predictor.adapt(images, labels)          # as many steps as in the evaluation of the run
answers = predictor.predict(others)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meta_rl.algorithms.supervised import FewShotLearner, adapt_stepwise
from meta_rl.config import RECIPES, TrainConfig
from meta_rl.core.interface import Interface
from meta_rl.core.types import Adapted, Examples
from meta_rl.core.weights import Weights
from meta_rl.errors import ConfigError
from meta_rl.fewshot.inputs import number_labels, observations, plain_labels


class Predictor:
    """Answers to one task at a time.

    Inputs are arrays, pictures or items, see `meta_rl.fewshot.inputs.observations`.

    Args:
        config: of the training run; its protocol has the number of steps.
    Attributes:
        classes: the labels of the task, in the order of `probabilities`; empty where answers are numbers.
    """

    classes: list[Any]

    def __init__(self, learner: FewShotLearner, weights: Weights, interface: Interface, config: TrainConfig) -> None:
        self._learner, self._weights, self._interface, self._config = learner, weights, interface, config
        self._adapted: Adapted = None
        self._support: Examples | None = None
        self.classes = []

    def adapt(self, inputs: Any, labels: Any, steps: int | None = None) -> Predictor:
        """Adapt to a task by its examples, from the meta-parameters: what an earlier call learned is forgotten.

        Args:
            inputs: of the examples.
            labels: one per example; of classes of any kind (texts, numbers, ...), else numbers.
            steps: number of adaptations; default: as in the protocol of the training run.
        Returns:
            Itself.
        Raises:
            ConfigError: inputs or labels have another form, or there are more classes than the agent has answers.
        """
        steps = self._config.evaluate.adaptation_steps if steps is None else steps
        if steps < 0:
            raise ConfigError(f"steps: must be at least 0, got {steps}")
        observation = observations(inputs, self._interface, self._config.env)
        given = plain_labels(labels)
        if not given or len(given) != len(observation):
            raise ConfigError(f"labels: one per example, at least one; got {len(given)} for {len(observation)} inputs")
        target = self._targets(given)
        self._support = Examples(observation[None], target[None], torch.ones(1, len(given)))
        ((_, self._adapted),) = adapt_stepwise(self._learner, self._weights, self._support, [steps])
        return self

    def predict(self, inputs: Any, together: bool = False) -> Any:
        """Answers to new inputs: a list of labels, or numbers ``[example]``.

        Args:
            together: answer all at once, so that they share statistics where the network normalises over its batch
                (transductive scores); else each alone, beside the examples (inductive ones).
        Raises:
            ConfigError: nothing was adapted yet, or inputs have another form.
        """
        outputs = self._outputs(inputs, together)
        if self.classes:
            return [self.classes[number] for number in outputs.argmax(-1).tolist()]
        return np.asarray(outputs[:, 0].numpy())

    def probabilities(self, inputs: Any, together: bool = False) -> NDArray[np.float32]:
        """Probability of each of `classes` ``[example, class]``; arguments and errors as `predict`.

        Raises:
            ConfigError: answers are numbers.
        """
        outputs = self._outputs(inputs, together)
        if not self.classes:
            raise ConfigError(f"probabilities: {self._config.env} has no classes")
        return np.asarray(outputs.softmax(-1).numpy())

    def _targets(self, labels: list[Any]) -> Tensor:
        """Labels as the learner has them ``[example]``; also remembers the classes."""
        network = self._learner.policy
        if network.kind == "classes":
            numbers, classes = number_labels(labels)
            if RECIPES[self._config.recipe].learns == "examples" and len(classes) > network.width:
                raise ConfigError(f"labels: {len(classes)} classes, but the agent tells {network.width} apart")
            self.classes = classes
            return torch.tensor(numbers)
        try:
            values = np.asarray(labels, np.float32)
        except (TypeError, ValueError):
            raise ConfigError(f"labels: {self._config.env} has numbers as answers, got {labels[0]!r}") from None
        if not np.isfinite(values).all():
            raise ConfigError("labels: must be finite numbers")
        return torch.from_numpy(values)

    @torch.no_grad()
    def _outputs(self, inputs: Any, together: bool) -> Tensor:
        """Logits ``[example, class]`` or numbers ``[example, 1]``."""
        if self._support is None:
            raise ConfigError("predict: call adapt first, with examples of the task")
        observation = observations(inputs, self._interface, self._config.env)
        outputs = self._learner.predict(self._adapted, self._support, observation[None], not together)[0]
        return outputs[:, : len(self.classes) or None]
