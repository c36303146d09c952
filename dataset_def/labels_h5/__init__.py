"""Crops with a labels.h5, as preprocessed by the authors of the novel-view method: reading, placing, writing."""
