"""What crosses a boundary: column batches, ids, cells, declarations, errors. numpy and stdlib only."""
