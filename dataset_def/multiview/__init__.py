"""Parts of dataset_def/import_multiview.py: files of other programs, triangulation, masks, backgrounds."""
