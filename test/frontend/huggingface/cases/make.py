"""Makes the case folders beside this file: a tiny model of each family, saved by transformers, and what it computes.

A case is `config.json`, `model.safetensors` and `expected.json`: token ids of two sequences and the rows the model gives
for them, in FP32, to seven digits. Run with transformers 5 and torch: `python make.py`.
"""

import json
import pathlib

import torch
import transformers

here = pathlib.Path(__file__).parent
small = dict(vocab_size=40, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=40, max_position_embeddings=32)
grouped = dict(small, num_key_value_heads=2)
gpt = dict(vocab_size=40, n_embd=24, n_layer=2, n_head=4, n_positions=32)
llama3 = dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)
cases = {
    "llama": ("LlamaForCausalLM", dict(grouped, rope_parameters=llama3)),
    "llama-biases": ("LlamaForCausalLM", dict(grouped, attention_bias=True, mlp_bias=True, head_dim=8, tie_word_embeddings=True)),
    "llama-linear": ("LlamaModel", dict(grouped, rope_parameters=dict(rope_type="linear", rope_theta=500.0, factor=4.0))),
    "mistral": ("MistralForCausalLM", dict(grouped, sliding_window=4)),
    "mixtral": ("MixtralForCausalLM", dict(grouped, num_local_experts=5)),
    "qwen2_moe": ("Qwen2MoeForCausalLM", dict(grouped, num_experts=6, num_experts_per_tok=3, moe_intermediate_size=20, shared_expert_intermediate_size=28)),
    "qwen2": ("Qwen2ForCausalLM", dict(grouped, tie_word_embeddings=True)),
    "gpt2": ("GPT2LMHeadModel", gpt),
    "gptj": ("GPTJForCausalLM", dict(gpt, rotary_dim=4)),
    "gpt_neox": ("GPTNeoXForCausalLM", dict(small, hidden_size=32)),
    "gpt_neox-serial": ("GPTNeoXForCausalLM", dict(small, hidden_size=32, use_parallel_residual=False)),
    "phi": ("PhiForCausalLM", dict(grouped, hidden_size=32)),
    "phi3": ("Phi3ForCausalLM", dict(grouped, pad_token_id=0)),
    "opt": ("OPTForCausalLM", dict(vocab_size=40, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, ffn_dim=40, max_position_embeddings=32, word_embed_proj_dim=24)),
    "starcoder2": ("Starcoder2ForCausalLM", grouped),
    "stablelm": ("StableLmForCausalLM", dict(grouped, hidden_size=32, use_qkv_bias=True)),
    "stablelm-parallel": ("StableLmForCausalLM", dict(grouped, hidden_size=32, use_parallel_residual=True)),
    "olmo": ("OlmoForCausalLM", grouped),
    "cohere": ("CohereForCausalLM", grouped),
    "granite": ("GraniteForCausalLM", dict(grouped, embedding_multiplier=12.0, attention_multiplier=0.25, residual_multiplier=0.22, logits_scaling=8.0)),
    "helium": ("HeliumForCausalLM", dict(grouped, head_dim=6)),
    "ernie4_5": ("Ernie4_5ForCausalLM", dict(grouped, head_dim=8)),
    "seed_oss": ("SeedOssForCausalLM", dict(grouped, head_dim=8)),
    "bert": ("BertModel", dict(small, type_vocab_size=2)),
    "roberta": ("RobertaModel", dict(small, type_vocab_size=1)),
    "distilbert": ("DistilBertModel", dict(vocab_size=40, dim=24, n_layers=2, n_heads=4, hidden_dim=40, max_position_embeddings=32)),
    "qwen3": ("Qwen3ForCausalLM", dict(grouped, head_dim=8, use_sliding_window=True, sliding_window=4, max_window_layers=1)),
    "gemma": ("GemmaForCausalLM", dict(grouped, head_dim=8)),
    "gemma2": ("Gemma2ForCausalLM", dict(grouped, num_hidden_layers=3, head_dim=8, sliding_window=4, query_pre_attn_scalar=6, attn_logit_softcapping=2.0, final_logit_softcapping=3.0, attn_implementation="eager")),
    "gemma3": ("Gemma3ForCausalLM", dict(grouped, num_hidden_layers=3, head_dim=8, sliding_window=4, layer_types=["sliding_attention", "full_attention", "sliding_attention"])),
    "qwen3_moe": ("Qwen3MoeForCausalLM", dict(grouped, head_dim=8, num_experts=6, num_experts_per_tok=2, moe_intermediate_size=20, norm_topk_prob=True)),
    "olmoe": ("OlmoeForCausalLM", dict(grouped, num_experts=7, num_experts_per_tok=3)),
    "olmo2": ("Olmo2ForCausalLM", grouped),
    "cohere-norms": ("CohereForCausalLM", dict(grouped, use_qk_norm=True)),
    "phi-norms": ("PhiForCausalLM", dict(grouped, hidden_size=32, qk_layernorm=True)),
    "bloom": ("BloomForCausalLM", dict(vocab_size=40, hidden_size=24, n_layer=2, n_head=6)),
}

torch.manual_seed(7)
for name, (architecture, settings) in cases.items():
    model_class = getattr(transformers, architecture)
    model = model_class(model_class.config_class(**settings)).eval()
    # Gains, biases and tables away from the values they start with, so that forgetting one shows.
    for parameter in model.parameters():
        parameter.data = parameter.data + 0.2 * torch.randn_like(parameter)
    # Tied tensors stay tied: the sum above is to the one tensor.
    model.tie_weights()
    sequences = [[5, 17, 9, 33, 2, 21, 8], [11, 3, 30]]
    rows = []
    with torch.no_grad():
        for ids in sequences:
            result = model(input_ids=torch.tensor([ids]))
            rows += (result.logits if "logits" in result else result.last_hidden_state)[0].tolist()
    folder = here / name
    model.save_pretrained(folder)
    for extra in folder.glob("generation_config.json"):
        extra.unlink()
    expected = {"sequences": sequences, "rows": [[float(f"{x:.7g}") for x in row] for row in rows]}
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")
    print(name, sum(p.numel() for p in model.parameters()))
