"""What crosses a boundary: batches, ids, cells, declarations, errors. numpy and stdlib only."""
