"""RL^2: a recurrent policy that learns a task by remembering it (Duan et al. 2016; Wang et al. 2016).

A trial is K episodes on one task, one after another. The network reads what it did and what came of it, and its memory
lasts from the first step of the trial to the last, so that its dynamics are a learning algorithm, which plain PPO over
trials optimises:

    for every task of the meta-batch:
        memory = 0;  repeat K times: run an episode, memory carries over          (each episode is a stage)
    with the network that acted, over the whole trial: log-probabilities, values, memory at the start of each chunk
    A = GAE over the trial;  R = A + value                                     (one episode to the learner)
    repeat for `epochs`, for every minibatch of whole trials:
        loss = clipped surrogate(A) + value_coef * (value - R)^2 - entropy_coef * entropy
               + reward_coef * (expected reward - r)^2                         (if asked for)
        Adam step on its gradient through `chunk` steps of time               (truncated back-propagation)
        until KL(acting policy || policy) > max_kl

* The trial is the episode of the learner: rewards are discounted across the borders of episodes and a terminal state
  inside a trial cuts nothing, so what pays off is exploring early to earn later. After the last step comes nothing.
* Episodes that end early leave gaps, which are closed first: the memory stood still meanwhile.
* The first step of a trial reads zeros for the previous action, reward and done; the first step of every later episode
  reads the last step of the one before, with done = 1.
* Values are learned and predicted in units of the running standard deviation of R around its running mean.
* Returns alone teach the memory slowly what to keep, because one reward is lost among many. Predicting the reward of
  every action from the memory is an auxiliary task with a much denser signal (Jaderberg et al. 2017).
* `reward_everywhere` trains the memory at every step to predict the rewards of all steps of the chunk, past and future,
  as the decoder of Zintgraf et al. 2020 does. So the memory keeps what it learned of one state while it visits others.
  The prediction is linear in observation and action, so the moments of a chunk give the sum over all pairs of steps.
* `act_on_rewards` makes the logit of a discrete action from its expected reward and its doubt, each times a factor. The
  doubt is the absolute error that the memory expects of that prediction; it is learned by regression too. Its factor
  shrinks with the value, hence during a trial. So the policy uses the predictions without learning them again from
  returns. Bayes-greedy agents with a bonus that fades, mean + c(t) / sqrt(visits), have this form. The gradient of the
  policy also flows into the expected rewards, so returns teach the memory too, much faster than regression by itself.
* With `learn_from_means` r is the mean of the reward given the task and the step, where the environment knows it: the
  same gradient on average, by the tower rule, and less variance. The network goes on reading the reward received.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from meta_rl.config import Rl2Config
from meta_rl.core import normaliser, parallel
from meta_rl.core.moments import Moments
from meta_rl.core.seeding import Purpose, generator
from meta_rl.core.state import TrainState
from meta_rl.core.threads import thread_map, threads_for
from meta_rl.core.types import Batch, MetaBatch, Metrics, Params, Rollout, from_numpy, map_tensors
from meta_rl.core.weights import Weights
from meta_rl.errors import ConfigError
from meta_rl.maths import losses, returns
from meta_rl.maths.gradient_step import Adam
from meta_rl.maths.schedules import linear
from meta_rl.networks.recurrent import RecurrentPolicy, tick, ticks

RATE_FACTOR, LOWEST_RATE, HIGHEST_RATE = 1.5, 1e-5, 1e-2
"""Factor by which the learning rate follows the KL divergence, and the range that it stays in; see `following`."""
TERMS = ("update/loss", "update/value_loss", "update/kl", "update/clip_fraction", "update/reward_loss")
"""Metrics of a minibatch."""


class Memory(NamedTuple):
    """Memory of an actor; zeros at the start of a trial."""

    state: Tensor
    """``[task, env, state_size]`` of the recurrent layer."""
    recall: Tensor
    """``[task, env, recall_size]``: the previous step as the next one reads it."""
    clock: Tensor
    """``[task, env, 2]``: steps of the episode and episodes of the trial so far."""


class Remembered(NamedTuple):
    """RL^2's `Adapted`: weights, the same for all tasks, and the memory of each."""

    weights: Weights
    memory: Memory


class Episode(NamedTuple):
    """One stage as the learner reads it, ``[task, env, time, ...]``."""

    observation: Tensor
    action: Tensor
    reward: Tensor
    earned: Tensor
    """The reward that losses use: the one received, or with `learn_from_means` its mean."""
    done: Tensor
    """float: 1 at the last valid step."""
    weight: Tensor
    """float: 1 for valid steps, 0 for padding."""


class Trials(NamedTuple):
    """Whole trials ``[trial, time, ...]``: valid steps without gaps, then padding up to a multiple of the chunk."""

    inputs: Tensor
    action: Tensor
    earned: Tensor
    weight: Tensor
    longest: int
    """Most steps that a trial can have: the horizons of its episodes together."""


class Rows(NamedTuple):
    """Chunks of trials, each a row: ``[row, time, ...]``; rows ``i * n ... (i + 1) * n - 1`` are trial i."""

    batch: Batch
    """Data of the policy loss; its observations are the inputs of the network."""
    target: Tensor
    """Values to learn, normalised."""
    earned: Tensor
    """Rewards to predict, in the units of those that the network reads."""
    start: Tensor
    """``[row, state_size]``: recurrent state before the first step, as it was when the row was recorded."""


Recall = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
"""(observation, action, reward, done, clock of the next step) -> ``[..., recall_size]``: a step as the next one reads
it."""


class RecurrentActor:
    """A recurrent policy and its memory of each environment; see `meta_rl.algorithms.base.Actor` for the verbs.

    Environments whose episode is over stand still until the next one begins. A memory with one environment per task
    serves any number of them, each from a copy.
    """

    def __init__(self, policy: RecurrentPolicy, adapted: Remembered, recall: Recall) -> None:
        self._policy = copy.deepcopy(policy).requires_grad_(False)
        params = adapted.weights.params
        self._policy.load_state_dict(params)
        self._statistics = adapted.weights.statistics
        self._size = sum(p.numel() for p in params.values())
        self._dtype = adapted.memory.state.dtype
        self._recall = recall
        self._frozen = torch.zeros(adapted.memory.state.shape[:2], dtype=torch.bool)
        self._any_frozen = False
        self._acted: tuple[Tensor, Tensor] | None = None  # observation and action until `observe`
        self._memory = adapted.memory

    @property
    def memory(self) -> Memory:
        """The memory after the last step. If nobody observed what followed the last action, it counts as reward 0 and
        not done."""
        if self._acted is not None:
            shape = self._frozen.shape
            self.observe(np.zeros(shape), np.zeros(shape, bool))
        return self._memory

    def begin(self, mask: NDArray[np.bool_] | None = None) -> None:
        """See `Actor.begin`."""
        self._freeze(torch.zeros_like(self._frozen) if mask is None else self._frozen & ~torch.from_numpy(mask))

    @torch.no_grad()
    def act(self, observation: NDArray[Any], noise: NDArray[Any] | None) -> NDArray[Any]:
        """See `Actor.act`."""
        shape = observation.shape[:2]
        self._spread(shape)
        state, recall, clock = self.memory
        with threads_for(2 * self._size * math.prod(shape)):
            seen = normaliser.normalise(self._statistics, from_numpy(observation.astype(np.float32, copy=False)))
            inputs = self._policy.inputs(seen.to(self._dtype), recall)
            # The policy knows one batch axis: [task, env, ...] -> [task * env, ...].
            distribution, new = self._policy.step(inputs.flatten(0, 1), state.flatten(0, 1))
            action = distribution.mode() if noise is None else distribution.sample(from_numpy(noise).flatten(0, 1))
        action = action.reshape(*shape, *action.shape[1:])  # [task, env, *action]
        self._acted = inputs[..., : observation.shape[-1]], action  # a copy: environments may reuse their arrays
        # The new state is [task, env, state_size] again. Environments whose episode is over keep the old one.
        self._memory = Memory(self._keep_frozen(new.reshape(*shape, -1), state), recall, clock)
        return np.asarray(action.numpy())

    @torch.no_grad()
    def observe(self, reward: NDArray[np.float64], done: NDArray[np.bool_]) -> None:
        """See `Actor.observe`."""
        assert self._acted is not None, "observe follows act"
        over = torch.from_numpy(done)
        gained, number = torch.from_numpy(reward).to(self._dtype), over.to(self._dtype)
        state, before, clock = self._memory
        clock = self._keep_frozen(tick(clock, number), clock)
        recall = self._recall(*self._acted, gained, number, clock)
        self._memory = Memory(state, self._keep_frozen(recall, before), clock)
        self._acted = None
        if done.any():
            self._freeze(self._frozen | over)

    def _freeze(self, frozen: Tensor) -> None:
        self._frozen, self._any_frozen = frozen, bool(frozen.any())

    def _keep_frozen(self, new: Tensor, old: Tensor) -> Tensor:
        return torch.where(self._frozen.unsqueeze(-1), old, new) if self._any_frozen else new  # [task, env, width]

    def _spread(self, shape: tuple[int, ...]) -> None:
        """Give every environment a copy of its task's memory, if there is one memory per task."""
        if self._frozen.shape != shape:
            self._frozen = self._frozen.expand(shape)  # [task, 1] -> [task, env]
            self._memory = Memory(*(x.expand(*shape, x.shape[-1]) for x in self.memory))  # [task, env, width]


class Rl2:
    """The learner; see `meta_rl.algorithms.base.MetaLearner` for its verbs."""

    parallel = False

    def __init__(self, config: Rl2Config, policy: RecurrentPolicy) -> None:
        self.config, self.policy = config, policy
        for option in ("reward_everywhere", "act_on_rewards"):
            if getattr(config, option) and not config.reward_coef:
                name = option.replace("_", "-")
                raise ConfigError(f"--{name}: without --reward-coef above 0 no rewards are expected")
        if config.reward_coef:
            policy.add_reward_head(config.act_on_rewards, config.reward_everywhere)

    def init(self) -> TrainState:
        """Parameters as the policy was initialised, and empty statistics of the returns."""
        params = {name: p.detach().clone() for name, p in self.policy.named_parameters()}
        return TrainState(0, 0, params, statistics=self.policy.statistics(), extras=Moments.empty()._asdict())

    def stages(self, episodes_per_task: int) -> int:
        """Every episode of a trial is a stage."""
        return episodes_per_task

    def start(self, weights: Weights, num_tasks: int) -> Remembered:
        """An empty memory for every task."""
        dtype = next(iter(weights.params.values())).dtype
        sizes = self.policy.state_size, self.policy.recall_size, 2
        return Remembered(weights, Memory(*(torch.zeros(num_tasks, 1, size, dtype=dtype) for size in sizes)))

    def actor(self, adapted: Remembered) -> RecurrentActor:
        """An actor that goes on from the memory in `adapted`."""
        return RecurrentActor(self.policy, adapted, self.recall)

    def prepare(self, adapted: Remembered, rollout: Rollout) -> Episode:
        """The rollout as tensors. Advantages depend on the whole trial and are computed in `meta_update`."""
        valid = from_numpy(rollout.valid)  # [task, env, time]
        last = valid & ~pad(valid[..., 1:], (0, 1))  # valid, and the next step is not
        observation, action, reward = map(from_numpy, (rollout.observation, rollout.action, rollout.reward))
        observation = normaliser.normalise(adapted.weights.statistics, observation)
        earned = from_numpy(rollout.mean_reward) if self.config.learn_from_means else reward
        return Episode(observation, action, reward, earned, last.float(), valid.float())

    def adapt(self, adapted: Remembered, support: Episode, actor: RecurrentActor) -> Remembered:
        """The memory that the actor had after its last step: this learner adapts by remembering."""
        return adapted._replace(memory=actor.memory)

    def recall(self, observation: Tensor, action: Tensor, reward: Tensor, done: Tensor, clock: Tensor) -> Tensor:
        """The recall of a step, the same while acting and learning; see `RecurrentPolicy.recall`."""
        return self.policy.recall(observation, action, reward * self.config.reward_scale, done, clock)

    def meta_update(self, state: TrainState, batch: MetaBatch) -> Metrics:
        """PPO on whole trials. A loss or gradient that is not finite abandons the update: `state` stays as it was,
        bit for bit."""
        c, trials = self.config, self.trials(batch)
        moments = Moments(*(state.extras[name] for name in Moments._fields))
        rows, moments, recorded = self.rows(state.params, trials, moments, self.gae_lambda(state.iteration))
        rate = float(state.extras.get("learning_rate", self.learning_rate(state.iteration)))
        adam = Adam(state.params, state.optimizer, rate)
        steps: list[Metrics] = []
        stopped, entropy_coef = False, self.entropy_coef(state.iteration)
        for part in self._minibatches(rows, trials, state.iteration):
            gradient, metrics = self.gradient(adam.params, part, entropy_coef)
            stopped = c.max_kl < metrics["update/kl"] < math.inf
            if stopped:
                break
            metrics["update/gradient_norm"] = adam.step(gradient, c.max_grad_norm)
            steps.append(metrics)
            if not np.isfinite(list(metrics.values())).all():
                return recorded | summary(steps) | {"guard/non_finite_gradient": 1.0}
        state.params, state.optimizer = adam.result(), adam.state()
        state.extras = dict(moments._asdict())
        if c.target_kl:
            after = following(rate, metrics["update/kl"], c.target_kl)
            state.extras["learning_rate"] = torch.tensor(after, dtype=torch.float64)
        counts = {
            "update/learning_rate": rate,
            "update/steps": float(len(steps)),
            "update/stopped_early": float(stopped),
        }
        return recorded | summary(steps) | counts | {"guard/non_finite_gradient": 0.0}

    def learning_rate(self, iteration: int) -> float:
        """The annealed step size."""
        c = self.config
        return linear(c.learning_rate, c.final_learning_rate, iteration, c.learning_rate_iterations)

    def gae_lambda(self, iteration: int) -> float:
        """The annealed lambda of the advantages."""
        c = self.config
        bias = linear(1.0, c.final_gae_bias, iteration, c.learning_rate_iterations)
        return c.gae_lambda + (1 - c.gae_lambda) * (1 - bias)

    def entropy_coef(self, iteration: int) -> float:
        """The annealed weight of the entropy bonus."""
        c = self.config
        return linear(c.entropy_coef, c.final_entropy_coef, iteration, c.learning_rate_iterations)

    def trials(self, batch: MetaBatch) -> Trials:
        """The episodes of each trial, joined without gaps, and what the network read at each step."""
        episodes: list[Episode] = [*batch.support, batch.query]
        # One episode after another on the time axis, then one trial per (task, env): [trial, episode * time, ...].
        joined = Episode(*(torch.cat(parts, 2).flatten(0, 1) for parts in zip(*episodes, strict=True)))
        index, weight = without_gaps(joined.weight, self.config.chunk)  # [trial, time] both
        trial = torch.arange(len(index), device=index.device).unsqueeze(1)  # [trial, 1]
        observation, action, reward, earned, done, _ = (x[trial, index] for x in joined)  # [trial, time, ...]
        recall = self.recall(observation, action, reward, done, ticks(done))  # [trial, time, recall_size]
        # A step reads the recall of the step before it; the first step of a trial reads zeros.
        previous = torch.cat([torch.zeros_like(recall[:, :1]), recall[:, :-1]], 1)  # [trial, time, recall_size]
        return Trials(self.policy.inputs(observation, previous), action, earned, weight, joined.weight.shape[1])

    @torch.no_grad()
    def rows(
        self, params: Params, trials: Trials, moments: Moments, gae_lambda: float
    ) -> tuple[Rows, Moments, Metrics]:
        """Chunks of trials with all that PPO needs of the policy that acted. Runs over the trials once, from start to
        end.

        Returns:
            The trials' chunks, `moments` of the returns with these trials, and metrics.
        """
        c, weight = self.config, trials.weight
        length = min(c.chunk, weight.shape[1])
        log_prob, value, entropy, start = self._replay(params, trials, length)
        # The value head predicts in standard deviations of the returns so far; back to the units of the reward.
        value = (value.double() * moments.std + moments.mean) * weight  # [trial, time]
        valid, end = weight.bool(), torch.zeros_like(value[:, 0])  # [trial]: after the last step comes nothing
        advantage = returns.gae(trials.earned.double(), value, valid, end, c.discount, gae_lambda)
        target = advantage + value
        moments = moments.update(target, weight)
        # All trials are normalised together, as one task: [1, trial, time] and back.
        normalised = returns.normalise(advantage.unsqueeze(0), valid.unsqueeze(0), parallel.sum_of).squeeze(0)
        batch = Batch(trials.inputs, trials.action, log_prob, normalised.to(weight.dtype), weight)
        # In the units of the new moments, which the next iteration reads the value head in.
        target_normalised = ((target - moments.mean) / moments.std).to(weight.dtype)
        earned = trials.earned * c.reward_scale
        batch, target_normalised, earned = map_tensors(
            lambda x: x.reshape(-1, length, *x.shape[2:]),  # [trial, time, ...] -> [trial * chunk, length, ...]
            (batch, target_normalised, earned),
        )
        spread = mean_of_all((target - mean_of_all(target, weight)).square(), weight)
        explained = 1 - mean_of_all(advantage.square(), weight) / spread
        metrics = {
            "policy/entropy": float(mean_of_all(entropy, weight)),
            "value/explained_variance": float(explained),
        }
        return Rows(batch, target_normalised, earned, start), moments, metrics

    def _replay(self, params: Params, trials: Trials, length: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Log-probabilities, values and entropies ``[trial, time]``, and the recurrent states before each chunk
        ``[trial * chunk, state_size]``."""

        @torch.no_grad()
        def part(inputs: Tensor, action: Tensor) -> list[Tensor]:
            state = inputs.new_zeros(len(inputs), self.policy.state_size)
            steps, states = [], []
            for x, a in zip(torch.split(inputs, length, 1), torch.split(action, length, 1), strict=True):
                states.append(state)  # before the chunk: where its back-propagation starts
                distribution, value, _, state = self.policy.unroll(params, x, state)
                steps.append((distribution.log_prob(a), value, distribution.entropy()))
            # [trial, time] each, and [trial, chunk, state_size].
            return [*(torch.cat(parts, 1) for parts in zip(*steps, strict=True)), torch.stack(states, 1)]

        size = len(trials.inputs)
        if trials.inputs.device.type == "cpu":
            # Trials are few and long, so a thread takes half as many of them as chunks for a gradient.
            size = min(size, self.policy.recurrent.rows_on_cpu // 2)
        parts = zip(torch.split(trials.inputs, size), torch.split(trials.action, size), strict=True)
        results = thread_map(lambda pair: part(*pair), parts)
        # The parts are of different trials: [trial, ...] each.
        log_prob, value, entropy, states = (torch.cat(one) for one in zip(*results, strict=True))
        return log_prob, value, entropy, states.flatten(0, 1)  # states: [trial * chunk, state_size]

    def _minibatches(self, rows: Rows, trials: Trials, iteration: int) -> Iterator[Rows]:
        """For every epoch, the chunks of all trials in a new order, cut into minibatches. Chunks that are all padding
        are left out. If processes share the update, each yields its own chunks of a minibatch, maybe none."""
        count, chunks = len(trials.weight), len(rows.start) // len(trials.weight)
        most = -(-trials.longest // self.config.chunk)  # the same in all processes; in this one there may be fewer
        used = rows.start.new_zeros(parallel.size(), count, most)  # [process, trial, chunk]
        used[parallel.rank(), :, :chunks] = rows.batch.weight.any(1).reshape(count, chunks)  # [trial, chunk]
        places = parallel.sum_of(used).cpu().nonzero()  # [place, 3]: process, trial and chunk of each
        for epoch in range(self.config.epochs):
            # The order of trials that are random themselves needs no seed of its own.
            order = generator(0, Purpose.MINIBATCHES, iteration, stage=epoch).permutation(len(places))
            for part in np.array_split(order, min(self.config.minibatches, len(places))):
                process, trial, chunk = places[torch.from_numpy(part)].unbind(1)  # [picked] each
                yield select(rows, (trial * chunks + chunk)[process == parallel.rank()])

    def gradient(self, params: Params, rows: Rows, entropy_coef: float) -> tuple[list[Tensor], Metrics]:
        """Gradient of `loss` over all `rows` of all processes with respect to `params` (which require grad), and
        metrics: means over all valid steps."""
        total = parallel.sum_of(rows.batch.weight.sum())

        def part(index: Tensor) -> tuple[list[Tensor], dict[str, Tensor]]:
            if not len(index):  # all trials of this minibatch are with other processes
                return [torch.zeros_like(p) for p in params.values()], dict.fromkeys(TERMS, torch.zeros_like(total))
            mine = rows if len(index) == len(rows.start) else select(rows, index)
            share = mine.batch.weight.sum() / total
            loss, terms = self.loss(params, mine, entropy_coef)
            gradient = torch.autograd.grad(loss * share, list(params.values()))
            return list(gradient), {name: value.detach() * share for name, value in terms.items()}

        everything = torch.arange(len(rows.start))
        if rows.start.device.type == "cpu":
            gradients, terms = zip(
                *thread_map(part, torch.split(everything, self.policy.recurrent.rows_on_cpu)), strict=True
            )
        else:
            gradients, terms = zip(part(everything), strict=True)
        # Each part was weighted by its share of the steps, so the sum is the mean: [part, *shape] -> [*shape].
        gradient = [torch.stack(parts).sum(0) for parts in zip(*gradients, strict=True)]
        metrics = [torch.stack([mine[name] for mine in terms]).sum() for name in TERMS]  # [part] -> scalar
        summed = parallel.sums([*gradient, *metrics])
        return summed[: len(gradient)], dict(zip(TERMS, map(float, summed[len(gradient) :]), strict=True))

    def loss(self, params: Params, rows: Rows, entropy_coef: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Clipped surrogate, value error, entropy bonus, error in expected rewards: means over the valid steps."""
        c, batch = self.config, rows.batch
        distribution, value, rewards, _ = self.policy.unroll(params, batch.observation, rows.start)
        policy_loss = losses.clipped(distribution, batch, c.clip_eps)
        value_loss = losses.weighted_mean((value - rows.target).square(), batch.weight)
        entropy = losses.weighted_mean(distribution.entropy(), batch.weight)
        loss = policy_loss + c.value_coef * value_loss - entropy_coef * entropy
        reward_loss = torch.zeros_like(loss)
        if rewards is not None:
            head, observation = self.policy.reward, self.policy.observation(batch.observation)
            assert head is not None
            coefficients, regressors = head.coefficients(rewards), head.regressors(observation, batch.action)
            error = (coefficients * regressors).sum(-1) - rows.earned  # [row, time], of the action taken
            reward_loss = losses.weighted_mean(error.square(), batch.weight)
            loss = loss + c.reward_coef * reward_loss
            if c.reward_everywhere:
                elsewhere = mean_squared_error(coefficients, regressors, rows.earned, batch.weight)
                loss = loss + c.reward_coef * losses.weighted_mean(elsewhere, batch.weight)
            if c.act_on_rewards:
                # The doubt regresses on the absolute error; detached, it does not move the expected reward.
                off = head.doubt(rewards, observation, batch.action) - error.detach().abs()
                loss = loss + c.reward_coef * losses.weighted_mean(off.square(), batch.weight)
        with torch.no_grad():
            log_ratio = distribution.log_prob(batch.action) - batch.log_prob
            # E[r - 1 - log r] over the old policy's actions, r the ratio: unbiased and never negative (Schulman 2020).
            kl = losses.weighted_mean(log_ratio.exp() - 1 - log_ratio, batch.weight)
            clipped = losses.weighted_mean((log_ratio.exp() - 1).abs().gt(c.clip_eps).float(), batch.weight)
        return loss, dict(zip(TERMS, (loss, value_loss, kl, clipped, reward_loss), strict=True))


def following(rate: float, kl: float, target: float) -> float:
    """The learning rate of the next iteration: divided by `RATE_FACTOR` if `kl` was above twice the target, multiplied
    by it if `kl` was below half of it, else the same.

    Args:
        rate: of this iteration.
        kl: divergence from the policy that acted, just before its last gradient step, in nats.
        target: what `kl` should be, in nats.
    """
    if kl > 2 * target:
        return max(rate / RATE_FACTOR, LOWEST_RATE)
    return min(rate * RATE_FACTOR, HIGHEST_RATE) if kl < target / 2 else rate


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


def mean_of_all(value: Tensor, weight: Tensor) -> Tensor:
    """Mean of `value` over the positions with weight 1, over all processes that share the update."""
    total, count = parallel.sums([(value * weight).sum(), weight.sum()])
    return total / count


def without_gaps(weight: Tensor, multiple: int) -> tuple[Tensor, Tensor]:
    """Indices that move valid steps to the front, in order.

    Args:
        weight: ``[trial, time]``, 1 for valid steps.
        multiple: the result is padded to a multiple of this, unless it is shorter.
    Returns:
        Indices into time ``[trial, length]``, and the weight of the step at each index, ``[trial, length]``.
    """
    count = weight.sum(1).long()
    longest = int(count.max())
    length = longest if longest < multiple else -(-longest // multiple) * multiple
    order = torch.argsort(1 - weight, dim=1, stable=True)  # [trial, time]: valid steps first, in order
    index = pad(order, (0, max(length - order.shape[1], 0)))[:, :length]  # [trial, length]
    return index, (torch.arange(length, device=weight.device) < count.unsqueeze(1)).to(weight.dtype)


def select(rows: Rows, index: Tensor) -> Rows:
    """The rows at `index` ``[picked]``."""
    return map_tensors(lambda x: x[index.to(x.device)], rows)  # type: ignore[no-any-return]  # [picked, time, ...]


def summary(steps: list[Metrics]) -> Metrics:
    """Metrics of an update from those of its gradient steps. The KL divergence, estimated from samples (Schulman
    2020), and the share of clipped ratios are those just before the last step."""
    first, last = steps[0], steps[-1]
    return {
        "update/loss_before": first["update/loss"],
        "update/loss_after": last["update/loss"],
        "update/value_loss": first["update/value_loss"],
        "update/reward_loss": first["update/reward_loss"],
        "update/kl": last["update/kl"],
        "update/clip_fraction": last["update/clip_fraction"],
        "update/gradient_norm": first["update/gradient_norm"],
    }
