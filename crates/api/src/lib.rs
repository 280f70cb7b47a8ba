//! Shapes and operations generated from the AWS service models. No logic.
