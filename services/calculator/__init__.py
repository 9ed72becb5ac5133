"""
The calculator: C{calculator.idl} says what it does, L{Calc} does it.
"""

from services.calculator.calc import Calc

__all__ = ["Calc"]
