__all__ = ['ttypes', 'constants', 'Historian']
