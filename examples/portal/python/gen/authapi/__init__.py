__all__ = ['ttypes', 'constants', 'Auth']
