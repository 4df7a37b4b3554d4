"""PEFT on adapters of ours, and adapters of its own.

    python peft_check.py TASK

The task has model and ids (safetensors files), config (of the reference), read (folders of ours), write (settings of
`LoraConfig` by name), folder (where those go, each with values as after some training) and out, which gets the logits
of each: `read.NAME`, `merged.NAME`, `write.NAME`.
"""

import json
import os
import sys
import warnings
from pathlib import Path

# Nothing is asked of the hub.
os.environ["HF_HUB_OFFLINE"] = "1"

import torch  # noqa: E402
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict  # noqa: E402
from torch_files import plain_names, reference, save_tensors, tensors  # noqa: E402
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel  # noqa: E402
from transformers.modeling_outputs import CausalLMOutput  # noqa: E402

# PEFT warns alone where an adapter and a model have not the same parts.
warnings.filterwarnings("error", message=".*(missing|unexpected).*")


class OpenELMForCausalLM(PreTrainedModel, GenerationMixin):
    """The reference where the Hugging Face port has it: names of layers begin with `transformer`."""

    config_class = PretrainedConfig

    def __init__(self, config, transformer):
        super().__init__(config)
        self.transformer = transformer

    def get_input_embeddings(self):
        return self.transformer.token_embeddings

    def prepare_inputs_for_generation(self, input_ids, **_):
        return {"input_ids": input_ids}

    def forward(self, input_ids=None, **_):
        return CausalLMOutput(logits=self.transformer(input_ids))


def fresh(task):
    model = reference(task["config"])
    model.load_state_dict(plain_names(tensors(task["model"])), strict=True)
    return OpenELMForCausalLM(PretrainedConfig(vocab_size=model.config.vocab_size), model).eval()


def read(task, folder, ids):
    """Logits with an adapter of a folder, and once more with the weights that it was merged into."""
    model = PeftModel.from_pretrained(fresh(task), folder).eval()
    state, own = get_peft_model_state_dict(model), tensors(Path(folder, "adapter_model.safetensors"))
    assert state.keys() == own.keys(), f"{sorted(state.keys() ^ own.keys())}"
    assert all(torch.equal(state[name], own[name]) for name in own), "other numbers than in the file"
    with torch.no_grad():
        adapted = model(input_ids=ids).logits
        # The embedding is the output layer too, which its adapter does not change.
        if any("embedding" in name for name in own):
            return {"read": adapted}
        return {"read": adapted, "merged": model.merge_and_unload()(input_ids=ids).logits}


def write(task, settings, folder, ids, seed):
    """Saves an adapter with random numbers where training begins with zeros, and gives its logits as PEFT loads it.

    With `converted`, what changed since the start is saved as a LoRA of the model as it was before the start.
    """
    settings = dict(settings)
    initial = f"{folder}-initial" if settings.pop("converted", False) else None
    model = get_peft_model(fresh(task), LoraConfig(**settings, task_type="CAUSAL_LM"))
    if initial is not None:
        model.peft_config["default"].init_lora_weights = True
        model.save_pretrained(initial)
        model.peft_config["default"].init_lora_weights = settings["init_lora_weights"]
    random = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        step = 0.05 * torch.randn(parameter.shape, generator=random)
        parameter.data = parameter * (1 + step) if "magnitude" in name else parameter + step
    model.save_pretrained(folder, path_initial_model_for_weight_conversion=initial)
    loaded = PeftModel.from_pretrained(fresh(task), folder).eval()
    with torch.no_grad():
        return loaded(input_ids=ids).logits


def main(path):
    task = json.loads(Path(path).read_text())
    ids = tensors(task["ids"])["ids"].long()
    out = {}
    for folder in task["read"]:
        for what, values in read(task, folder, ids).items():
            out[f"{what}.{Path(folder).name}"] = values
    for seed, (name, settings) in enumerate(task["write"].items()):
        out[f"write.{name}"] = write(task, settings, Path(task["folder"], name), ids, seed)
    save_tensors(task["out"], out)


if __name__ == "__main__":
    main(*sys.argv[1:])
