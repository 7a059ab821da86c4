__all__ = ['ttypes', 'constants', 'DB']
