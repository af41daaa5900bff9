"""The loss surface around a checkpoint (torch): gradients of single examples, curvature, local learning coefficient."""
