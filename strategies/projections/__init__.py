"""Steps that leave what earlier models see as it was."""
