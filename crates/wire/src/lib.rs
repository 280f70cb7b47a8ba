//! Bytes to typed shapes and back: AWS protocols, signatures, faults. Knows no service.
