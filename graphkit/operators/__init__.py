"""Sparse operators on graphs: functions of tensors, without modules or parameters."""
