"""Scripts beside the method: exports, tables, ablations, the web page."""
