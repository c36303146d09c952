"""Networks and losses.  They take tensors and never import `dataset_def`."""
