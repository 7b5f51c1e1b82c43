"""The diffusion model's recipe at small scale: training learns and resumes exactly, and the stored weights load."""

import io
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from granu import BuildContext, Streams, load_catalog, read_tensors, read_weights_header
from granu_zoo.train import diffusion, guided
from granu_zoo.train.diffusion import DiffusionSettings, DiffusionTraining
from granu_zoo.train.guided import EMPTY, GuidedTraining, train_diffusion

pytestmark = pytest.mark.skipif(find_spec("diffusers") is None, reason="the recipe needs diffusers")

SETTINGS = DiffusionSettings(images=64, batch=16, warm_up=32, report_every=32)
SMALL = {
    "block_out_channels": (8, 8),
    "down_block_types": ("DownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "UpBlock2D"),
    "attention_head_dim": 8,
}


@pytest.fixture
def digits(monkeypatch: pytest.MonkeyPatch) -> tuple[Tensor, Tensor]:
    """Twelve grey images, each of one value, in place of MNIST; a smaller network and fewer steps."""
    values = torch.arange(12, dtype=torch.uint8) * 20
    images = values[:, None, None, None].expand(12, 1, 32, 32).contiguous(), torch.arange(12) % 10
    monkeypatch.setattr(guided, "read_images", lambda folder, data, part: images)
    monkeypatch.setattr(diffusion, "NETWORK", diffusion.NETWORK | SMALL)
    monkeypatch.setattr(diffusion, "DRAWING_STEPS", 2)
    return images


def test_a_resumed_training_equals_an_uninterrupted_one(digits: tuple[Tensor, Tensor]) -> None:
    run = DiffusionTraining(digits, 1, SETTINGS)
    run.step()
    file = io.BytesIO()
    torch.save(run.state(), file)
    uninterrupted = run.step()
    file.seek(0)
    resumed = DiffusionTraining(digits, 7, SETTINGS)
    resumed.restore(torch.load(file, weights_only=True))
    assert resumed.step() == pytest.approx(uninterrupted)
    torch.testing.assert_close(resumed.average.state_dict(), run.average.state_dict())


def test_training_lowers_the_loss_and_the_average_follows(digits: tuple[Tensor, Tensor]) -> None:
    run = DiffusionTraining(digits, 1, DiffusionSettings(images=16_000, batch=16, warm_up=1))
    start = run.average.conv_in.weight.clone()
    losses = [run.step()["loss"] for _ in range(24)]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    moved, ahead = (run.average.conv_in.weight - start).norm(), (run.network.conv_in.weight - start).norm()
    assert 0 < moved < ahead


def test_every_batch_covers_the_noise_levels(digits: tuple[Tensor, Tensor]) -> None:
    run = DiffusionTraining(digits, 1, SETTINGS)
    times = torch.stack([run.draw_times() for _ in range(20)])
    assert (times * 16 // 1000 == torch.arange(16)).all()
    assert len(times[:, 0].unique()) > 5


def test_the_learning_rate_rises_and_decays(digits: tuple[Tensor, Tensor]) -> None:
    run = DiffusionTraining(digits, 1, SETTINGS)
    shares = []
    for run.seen in range(0, 64, 16):
        shares.append(run.share_of_learning_rate())
    assert shares == [0.5, 1.0, 1.0, 0.5]


def test_a_network_that_knows_the_image_draws_it(digits: tuple[Tensor, Tensor]) -> None:
    run = DiffusionTraining(digits, 1, SETTINGS)
    x0 = torch.rand(3, 1, 32, 32) * 2 - 1

    def velocity(x: Tensor, time: Tensor, classes: Tensor) -> SimpleNamespace:
        signal = run.schedule.alphas_cumprod[time]
        noise = (x - signal.sqrt() * x0) / (1 - signal).sqrt()
        return SimpleNamespace(sample=signal.sqrt() * noise - (1 - signal).sqrt() * x0)

    run.average = velocity
    drawn = run.draw(torch.randn(3, 1, 32, 32), torch.arange(3))
    torch.testing.assert_close(drawn, x0, rtol=0, atol=1e-4)
    assert run.schedule.timesteps.tolist() == [999, 499]


def test_guidance_starts_from_the_trained_network(digits: tuple[Tensor, Tensor]) -> None:
    plain = DiffusionTraining(digits, 1, SETTINGS)
    run = GuidedTraining(digits, 1, SETTINGS, plain.average)
    x, time, classes = torch.randn(2, 1, 32, 32), torch.tensor(500), torch.tensor([3, 8])
    with torch.no_grad():
        torch.testing.assert_close(
            run.network(x, time, classes).sample, plain.average(x, time, classes).sample, rtol=1e-4, atol=1e-5
        )
    assert run.network.class_embedding.weight.shape[0] == EMPTY + 1


def test_the_target_moves_away_from_the_prediction_without_a_class(digits: tuple[Tensor, Tensor]) -> None:
    run = GuidedTraining(digits, 1, SETTINGS, DiffusionTraining(digits, 1, SETTINGS).average)
    value = torch.arange(EMPTY + 1.0)[:, None, None, None].expand(-1, 1, 32, 32)
    run.network = lambda x, times, classes: SimpleNamespace(sample=value[classes])
    classes, v = torch.arange(10).repeat(20), torch.zeros(200, 1, 32, 32)
    run.seen = 10_000  # half of the rise, to half of 1 - 1 / 2
    prediction, target = run.predict(v, torch.zeros(200).long(), classes, v)
    empty = prediction[:, 0, 0, 0] == EMPTY
    assert 10 < empty.sum() < 60
    assert (target[empty] == 0).all()
    torch.testing.assert_close(target[~empty], 0.25 * (prediction[~empty] - EMPTY))
    run.seen = 50_000
    assert run.guidance_weight() == 0.5


def test_the_stored_file_describes_network_and_schedule(digits: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    path = train_diffusion(tmp_path, tmp_path / "out", 1, replace(SETTINGS, images=96))
    logs = [(tmp_path / "out" / part / "log.txt").read_text().splitlines() for part in ("plain", "guided")]
    assert [len(lines) for lines in logs] == [2, 1]
    header = read_weights_header(path, ("diffusion",))
    assert header.classes == tuple("0123456789") and header.about["log"] == {"images": 96}
    assert header.config["scheduler"]["_class_name"] == "DDIMScheduler"
    assert header.config["scheduler"]["prediction_type"] == "v_prediction"
    assert header.config["unet"]["_class_name"] == "UNet2DModel" and header.config["unet"]["num_class_embeds"] == 11
    state = torch.load(tmp_path / "out" / "guided" / "checkpoint.pt", weights_only=True)["average"]
    stored = read_tensors(path)
    assert stored.keys() == {f"unet.{name}" for name in state}
    torch.testing.assert_close(stored["unet.conv_in.weight"], state["conv_in.weight"].half().float())


def test_the_stored_file_opens_as_a_generator(digits: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    path = train_diffusion(tmp_path, tmp_path, 1, replace(SETTINGS, images=96))
    context = BuildContext(load_catalog())
    generator = context.build("generator", f"diffusion:weights={path},sampling-steps=2")
    assert generator.classes == tuple("0123456789")
    latent = generator.draw(Streams(0, ["a", "b"]), torch.tensor([3, 4]))
    with torch.no_grad():
        images = generator.tail(latent, ["image"])({})
    run = GuidedTraining(digits, 1, SETTINGS, DiffusionTraining(digits, 1, SETTINGS).average)
    run.average.load_state_dict({name.removeprefix("unet."): value for name, value in read_tensors(path).items()})
    torch.testing.assert_close(images.clamp(0, 1), (run.draw(latent.noise, latent.labels) + 1) / 2, rtol=0, atol=1e-4)
