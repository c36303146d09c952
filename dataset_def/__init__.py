"""What is on disk and how it becomes tensors.  Never imports `models` (but for `dataset_def.synthetic`)."""
