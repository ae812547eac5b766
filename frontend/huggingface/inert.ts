/** Fields every config may carry that do not change what the network computes, by reason. */
const reasons: Readonly<Record<string, readonly string[]>> = {
  'names where the config comes from': ['_name_or_path', 'transformers_version', 'name_or_path', 'auto_map', '_commit_hash', '_attn_implementation_autoset', 'transformers.js_config', 'model_name'],
  'used in training alone': [
    'attention_dropout', 'attention_probs_dropout_prob', 'hidden_dropout', 'hidden_dropout_prob', 'attn_pdrop', 'embd_pdrop', 'resid_pdrop', 'resid_dropout', 'residual_dropout', 'embedding_dropout',
    'activation_dropout', 'dropout', 'classifier_dropout', 'classifier_dropout_prob', 'layerdrop', 'initializer_range', 'initializer_factor', 'init_std', 'gradient_checkpointing', 'ffn_dropout', 'attn_dropout',
    'seq_classif_dropout', 'qa_dropout', 'summary_first_dropout', 'use_flash_attn', 'label_smoothing', 'rope_theta_init', 'embd_dropout',
  ],
  'used by the tokeniser and the sampling loop': [
    'bos_token_id', 'eos_token_id', 'pad_token_id', 'sep_token_id', 'cls_token_id', 'mask_token_id', 'unk_token_id', 'decoder_start_token_id', 'forced_bos_token_id', 'forced_eos_token_id', 'bad_words_ids',
    'suppress_tokens', 'begin_suppress_tokens', 'max_length', 'min_length', 'do_sample', 'early_stopping', 'num_beams', 'num_beam_groups', 'diversity_penalty', 'temperature', 'top_k', 'top_p', 'typical_p',
    'repetition_penalty', 'length_penalty', 'no_repeat_ngram_size', 'encoder_no_repeat_ngram_size', 'num_return_sequences', 'output_scores', 'return_dict_in_generate', 'remove_invalid_values',
    'exponential_decay_length_penalty', 'task_specific_params', 'prefix', 'tokenizer_class', 'model_max_length', 'generation_config',
  ],
  'what the published code hands back or keeps, not what it computes': [
    'use_cache', 'output_attentions', 'output_hidden_states', 'return_dict', 'torchscript', 'use_return_dict', 'num_logits_to_keep', 'logits_to_keep', 'keys_to_ignore_at_inference',
  ],
  'tells classes that can be either which they are': ['is_decoder'],
  'how the published code runs, with the same result': ['attn_implementation', '_attn_implementation', 'chunk_size_feed_forward', 'use_bfloat16', 'use_parallel_residual_fused', 'tf_legacy_loss', 'flash_attention', 'tie_encoder_decoder'],
  'read by other heads': ['id2label', 'label2id', 'num_labels', 'problem_type', 'finetuning_task', 'summary_type', 'summary_use_proj', 'summary_activation', 'summary_proj_to_labels', 'cross_attention_hidden_size'],
};

/** Field to the reason it changes nothing. */
export const inertFields: Readonly<Record<string, string>> = Object.fromEntries(Object.entries(reasons).flatMap(([reason, keys]) => keys.map((key) => [key, reason])));

/** Fields that change nothing as long as they have this value, and what another value would mean. */
export const fixedFields: Readonly<Record<string, { readonly is: string | number | boolean | null; readonly else: string }>> = {
  is_encoder_decoder: { is: false, else: 'there would be an encoder and a decoder' },
  add_cross_attention: { is: false, else: 'layers would attend to another network' },
};
