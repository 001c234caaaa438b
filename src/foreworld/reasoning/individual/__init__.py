"""What is particular about one case: how the model errs about it, learnt from its own history."""
