"""The auxiliary task of recurrent policies: predict rewards from the memory, and maybe act on the predictions.

* Returns alone teach a memory slowly what to keep, because one reward is lost among many. Predicting the reward of
  every action from the memory is a much denser signal (Jaderberg et al. 2017).
* A prediction may be linear in the observation too. Then the memory is trained at every step to predict the rewards of
  all steps of the sequence, past and future, as the decoder of Zintgraf et al. 2020 does. So the memory keeps what it
  learned of one state while it visits others. The prediction is linear in observation and action, so the moments of a
  sequence give the sum over all pairs of steps.
* A policy that acts on rewards makes the logit of a discrete action from its expected reward and its doubt, each times
  a factor. The doubt is the absolute error that the memory expects of that prediction; it is learned by regression too.
  Its factor shrinks with the value, hence during a trial. So the policy uses the predictions without learning them
  again from returns. Bayes-greedy agents with a bonus that fades, mean + c(t) / sqrt(visits), have this form. The
  gradient of the policy also flows into the expected rewards, so returns teach the memory too, much faster than
  regression by itself.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from meta_rl.maths.distributions import Categorical
from meta_rl.maths.losses import weighted_mean

GREED = 8.0
"""Weight of the expected reward in the logit of an action, if the policy acts on rewards; see `OPTIMISM`."""
OPTIMISM = 2.5
"""Weight of the doubt: ``logit = GREED * expected + OPTIMISM * max(0, 2 + value) * doubt``, the value in standard
deviations of the returns. So the doubt counts for nothing at a value of -2, which is near that of the last steps of a
trial. Both weights suit rewards whose standard deviation over tasks is about 1. They are constants because agents that
learned the optimism ended with too little of it."""


class RewardHead(nn.Linear):
    """Predicts the reward of every action from the features, and optionally its own absolute error, the doubt. All
    predictions are zero at first.

    The expected reward is linear in the action: one number for each discrete action; an offset and a slope in every
    dimension for continuous ones. It may be linear in the observation too; then one memory predicts the rewards at any
    observation, and is trained on those of all steps.

    Args:
        units: numbers of the features.
        observation_dim: numbers of an observation that predictions are linear in; 0 if features alone determine them.
        actions: number of discrete actions; 0 if actions are continuous.
        action_dim: numbers of an action; one per discrete action.
        doubts: whether to predict doubts; for discrete actions only.
        dtype: of the parameters.
    """

    def __init__(
        self, units: int, observation_dim: int, actions: int, action_dim: int, doubts: bool, dtype: torch.dtype
    ) -> None:
        numbers = action_dim + (actions == 0)
        super().__init__(units, (1 + observation_dim) * numbers * (1 + doubts), dtype=dtype)
        self.observation_dim, self.actions, self.numbers, self.doubts = observation_dim, actions, numbers, doubts

    def reset_parameters(self) -> None:
        """Zeros; nothing is drawn, so the numbers that the rest of the network begins with do not depend on it."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Coefficients ``[..., 1 + obs, width]``: an offset, and a slope in every dimension of the observation. The
        width is that of the numbers of an action, twice that with doubts."""
        # [..., (1 + obs) * width] -> [..., 1 + obs, width]
        return super().forward(features).reshape(*features.shape[:-1], 1 + self.observation_dim, -1)

    def at(self, said: Tensor, observation: Tensor) -> Tensor:
        """Predictions ``[..., width]`` at `observation` ``[..., obs]``, from `said`, the output of `forward`."""
        if not self.observation_dim:
            return said.squeeze(-2)  # [..., 1, width] -> [..., width]
        return said[..., 0, :] + (observation.unsqueeze(-1) * said[..., 1:, :]).sum(-2)  # sum over [..., obs, width]

    def distribution(self, said: Tensor, observation: Tensor, value: Tensor) -> Categorical:
        """Distribution ``[...]`` of a policy that acts on rewards. Its logits are the expected rewards, and a bonus for
        doubt (formula: `OPTIMISM`).

        Towards the end of a trial less can still be earned, so the value falls and the bonus with it: the policy
        explores early and stops late. The policy loss changes the expected rewards, through the memory, but neither
        doubts nor value.

        Args:
            said: output of `forward`, with doubts.
            observation: ``[..., obs]``.
            value: ``[...]``, in standard deviations of the returns.
        """
        expected, doubt = self.at(said, observation).chunk(2, -1)  # [..., actions] each
        optimism = (OPTIMISM * (2 + value.detach())).clamp(min=0).unsqueeze(-1)  # [..., 1]
        return Categorical(GREED * expected + optimism * doubt.detach())

    def losses(self, said: Tensor, observation: Tensor, action: Tensor, earned: Tensor, weight: Tensor) -> list[Tensor]:
        """Losses of the auxiliary task, each a mean over the steps that count, to be added up with one weight.

        Args:
            said: ``[row, time, 1 + obs, width]``, the output of `forward`.
            observation: ``[row, time, obs]``.
            action: ``[row, time, ...]``.
            earned: ``[row, time]``, the rewards to predict.
            weight: ``[row, time]``, 1 for the steps that count.
        Returns:
            The squared error of the reward of the action taken. With predictions at any observation, that of all steps
            of the row. With doubts, their squared error.
        """
        coefficients, regressors = self.coefficients(said), self.regressors(observation, action)  # [row, time, n]
        error = (coefficients * regressors).sum(-1) - earned  # [row, time], of the action taken
        found = [weighted_mean(error.square(), weight)]
        if self.observation_dim:
            everywhere = mean_squared_error(coefficients, regressors, earned, weight)  # [row, time]
            found.append(weighted_mean(everywhere, weight))
        if self.doubts:
            # The doubt regresses on the absolute error; detached, it does not move the expected reward.
            off = self.doubt(said, observation, action) - error.detach().abs()  # [row, time]
            found.append(weighted_mean(off.square(), weight))
        return found

    def coefficients(self, said: Tensor) -> Tensor:
        """Coefficients ``[..., n]`` from `said`, the output of `forward`. Their dot product with `regressors` is the
        expected reward."""
        return said[..., : self.numbers].flatten(-2)  # [..., 1 + obs, numbers] -> [..., n]

    def regressors(self, observation: Tensor, action: Tensor) -> Tensor:
        """Regressors ``[..., n]`` of a step: its action's numbers, times one and every number of its observation."""
        numbers = (one_hot(action, self.actions) if self.actions else action).to(observation.dtype)
        if not self.actions:
            numbers = torch.cat([torch.ones_like(numbers[..., :1]), numbers], -1)  # [..., 1 + action]
        if not self.observation_dim:
            return numbers
        seen = torch.cat([torch.ones_like(observation[..., :1]), observation], -1)  # [..., 1 + obs]
        return (seen.unsqueeze(-1) * numbers.unsqueeze(-2)).flatten(-2)  # [..., 1 + obs, numbers] -> [..., n]

    def doubt(self, said: Tensor, observation: Tensor, action: Tensor) -> Tensor:
        """The doubt ``[...]`` about the reward of `action`, from `said`, the output of `forward`."""
        doubts = self.at(said, observation)[..., self.actions :]  # [..., actions]: the second half
        return doubts.gather(-1, action.unsqueeze(-1)).squeeze(-1)


def mean_squared_error(coefficients: Tensor, regressors: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean squared error of each step's linear model over all steps of its row, past and future.

    The moments of a row suffice, because ``mean_s (c . x_s - y_s)^2 = c' E[x x'] c - 2 c . E[y x] + E[y^2]``. So the
    errors of all pairs of steps, ``[row, time, time]``, are never computed.

    Args:
        coefficients: ``[row, time, n]``, the model c of each step.
        regressors: ``[row, time, n]``, the x of each step.
        target: ``[row, time]``, the y of each step.
        weight: ``[row, time]``, 1 for the steps that count.
    Returns:
        ``[row, time]``, the error of each step's model.
    """
    share = weight / weight.sum(1, keepdim=True).clamp(min=1)  # [row, time], sums to 1 over time
    weighted = (regressors * share.unsqueeze(-1)).transpose(1, 2)  # [row, n, time]
    moment = (weighted @ target.unsqueeze(-1)).squeeze(-1)  # [row, n]: E[y x]
    # c' E[x x'] c - 2 c . E[y x], still to be summed over n: [row, time, n].
    quadratic = (coefficients @ (weighted @ regressors) - 2 * moment.unsqueeze(1)) * coefficients
    return quadratic.sum(-1) + (target.square() * share).sum(1, keepdim=True)  # [row, time]
