"""abacus-prm: the body, and the head that the shipped recipe `prm-train` learns on it from rollouts of abacus-1m."""

import asyncio
import shutil
import tempfile
from pathlib import Path

from transformers import Qwen2Tokenizer

from overthink.flows.prm_train import prm_train
from overthink.storage.store import Store
from overthink.tasks.recipes.loading import find_recipe, read_recipe_of
from overthink.tasks.recipes.prm_recipes import PrmTrainRecipe
from overthink.zoo.body import train_body


def train_abacus_prm(policy_folder: Path, tokenizer: Qwen2Tokenizer, folder: Path) -> None:
    """Train the body into `folder`, which is the recipe's base, and put what the recipe makes of it in its place."""
    train_body(policy_folder, tokenizer, folder)
    recipe = read_recipe_of(PrmTrainRecipe, find_recipe("prm-train"))
    with tempfile.TemporaryDirectory() as store:
        run_id = asyncio.run(prm_train(recipe, store))
        shutil.copytree(Store(Path(store)).model_folder(run_id), folder, dirs_exist_ok=True)
