"""The network and its losses as one module, so that every process of a run synchronises all of it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.aggregation.network import SetAggregatorModule
from models.training.configuration import TrainingRecipe
from models.training.losses import AdaFaceHead, set_against_set
from models.training.sets import TrainingSets


class TrainingObjective(nn.Module):
    """Identity classification of every template, and each person's two templates against the other people's."""

    def __init__(self, network: SetAggregatorModule, prototypes: Tensor, recipe: TrainingRecipe) -> None:
        """prototypes: (C, D), where the class centres start."""
        super().__init__()
        self.network = network
        self.head = AdaFaceHead(prototypes, scale=recipe.identity_scale, margin=recipe.identity_margin)
        self._pair_weight = recipe.pair_weight
        self._pair_scale = recipe.pair_scale
        self._pair_margin = recipe.pair_margin

    def forward(self, sets: TrainingSets) -> dict[str, Tensor]:
        """Scalars: `loss` to descend on, and its parts `identity` and `pairs`."""
        output = self.network(sets.embeddings, sets.norms, sets.valid)
        # The losses stay in float32 whatever precision the network runs in.
        with torch.autocast(output.template.device.type, enabled=False):
            templates = output.template.float()
            references, probes = templates.chunk(2)
            identity = self.head(templates, output.template_norm.float(), sets.labels.repeat(2))
            pairs = set_against_set(references, probes, scale=self._pair_scale, margin=self._pair_margin)
        return {"loss": identity + self._pair_weight * pairs, "identity": identity, "pairs": pairs}


def parameter_groups(objective: TrainingObjective, recipe: TrainingRecipe) -> list[dict[str, object]]:
    """Gamma is one number that balances two quantities: it has its own rate, and no pull towards 0."""
    own = {id(parameter) for name, parameter in objective.network.named_parameters() if name == "gamma"}
    network = [parameter for parameter in objective.network.parameters() if parameter.requires_grad]
    groups: list[dict[str, object]] = [
        {
            "params": [parameter for parameter in network if id(parameter) not in own],
            "lr": recipe.learning_rate,
            "weight_decay": recipe.weight_decay,
        },
        {
            "params": [parameter for parameter in network if id(parameter) in own],
            "lr": recipe.gamma_learning_rate,
            "weight_decay": 0.0,
        },
        {
            "params": list(objective.head.parameters()),
            "lr": recipe.head_learning_rate,
            "weight_decay": recipe.weight_decay,
        },
    ]
    return [group for group in groups if group["params"]]


def make_schedule(optimiser: torch.optim.Optimizer, recipe: TrainingRecipe) -> torch.optim.lr_scheduler.LRScheduler:
    """One cycle with a tenth of the steps as warm-up, or constant rates."""
    if recipe.schedule == "constant":
        return torch.optim.lr_scheduler.ConstantLR(optimiser, factor=1.0, total_iters=0)
    rates = [float(group["lr"]) for group in optimiser.param_groups]
    return torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, total_steps=recipe.steps, pct_start=0.1)
