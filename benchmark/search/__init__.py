"""What happens in a search: who draws architectures and batches, and what is measured.

``sampling.py`` says which architecture is trained next, with ``controller.py`` where a network
draws them; ``batches.py`` which batches; ``carrying.py`` hands the state of recurrent supernets
from batch to batch; ``decay.py`` lowers the learning rate; ``measuring.py`` measures visits, and
ranks architectures at the end.
"""
