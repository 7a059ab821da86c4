__all__ = ['ttypes', 'constants', 'Proc']
