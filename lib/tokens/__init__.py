"""Part III, one tokenizer: BPE, Unigram, and one made to cut as the other."""
