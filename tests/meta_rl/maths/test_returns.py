import torch

from meta_rl.maths.returns import compress, discounted_returns, expand, gae, normalise


def test_discounted_returns_by_hand() -> None:
    # G_2 = 4; G_1 = 2 + 0.5 * 4 = 4; G_0 = 1 + 0.5 * 4 = 3
    assert discounted_returns(torch.tensor([1.0, 2.0, 4.0]), 0.5).tolist() == [3.0, 4.0, 4.0]


def test_gae_by_hand() -> None:
    # discount 0.5, lambda 0.5, values 1, 2, 3, bootstrap 8 (truncated):
    # delta_2 = 4 + 0.5 * 8 - 3 = 5;    A_2 = 5
    # delta_1 = 2 + 0.5 * 3 - 2 = 1.5;  A_1 = 1.5 + 0.25 * 5 = 2.75
    # delta_0 = 1 + 0.5 * 2 - 1 = 1;    A_0 = 1 + 0.25 * 2.75 = 1.6875
    reward, value = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 2.0, 3.0])
    valid = torch.ones(3, dtype=torch.bool)
    assert gae(reward, value, valid, torch.tensor(8.0), 0.5, 0.5).tolist() == [1.6875, 2.75, 5.0]


def test_gae_stops_at_the_end_of_a_short_episode() -> None:
    # Terminated after 2 of 4 steps: bootstrap 0, padding 0.
    # delta_1 = 2 + 0 - 2 = 0; delta_0 = 1 + 0.5 * 2 - 1 = 1; A = [1, 0, 0, 0]
    reward, value = torch.tensor([1.0, 2.0, 0.0, 0.0]), torch.tensor([1.0, 2.0, 0.0, 0.0])
    valid = torch.tensor([True, True, False, False])
    assert gae(reward, value, valid, torch.tensor(0.0), 0.5, 0.5).tolist() == [1.0, 0.0, 0.0, 0.0]
    # The same episode truncated there: the last delta gains 0.5 * 8 = 4, A_0 gains 0.25 * 4 = 1
    assert gae(reward, value, valid, torch.tensor(8.0), 0.5, 0.5).tolist() == [2.0, 4.0, 0.0, 0.0]


def test_gae_with_lambda_one_is_return_minus_value() -> None:
    torch.manual_seed(0)
    reward, value = torch.randn(3, 2, 7, dtype=torch.float64), torch.randn(3, 2, 7, dtype=torch.float64)
    valid = torch.ones(3, 2, 7, dtype=torch.bool)
    advantage = gae(reward, value, valid, torch.zeros(3, 2, dtype=torch.float64), 0.9, 1.0)
    torch.testing.assert_close(advantage, discounted_returns(reward, 0.9) - value)


def test_normalise_per_task_ignores_padding() -> None:
    # Task 0 holds 1 and 3 (mean 2, std 1); task 1 holds 10, 20 (mean 15, std 5) and one padded step.
    advantage = torch.tensor([[[1.0, 3.0, 0.0]], [[10.0, 20.0, 0.0]]])
    valid = torch.tensor([[[True, True, False]], [[True, True, False]]])
    expected = torch.tensor([[[-1.0, 1.0, 0.0]], [[-1.0, 1.0, 0.0]]])
    torch.testing.assert_close(normalise(advantage, valid), expected)


def test_compressed_returns_by_hand_and_back() -> None:
    # sqrt(8 + 1) - 1 = 2, sqrt(99 + 1) - 1 = 9, and a thousandth of each
    value = torch.tensor([0.0, 8, 99, -8], dtype=torch.float64)
    torch.testing.assert_close(compress(value), torch.tensor([0, 2.008, 9.099, -2.008], dtype=torch.float64))
    value = torch.linspace(-5000, 5000, 1001, dtype=torch.float64)
    torch.testing.assert_close(expand(compress(value)), value, rtol=1e-9, atol=1e-9)
